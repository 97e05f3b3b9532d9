/** The thread that writes tar-splits. */
import {workerData} from 'node:worker_threads'
import {serve} from '../thread/ring.ts'
import {tarSplitOrders} from './tar-split-orders.ts'

serve(workerData.ring, tarSplitOrders(workerData.chunks, workerData.failure))
