/** The thread that fills files. */
import {workerData} from 'node:worker_threads'
import {serve} from '../thread/ring.ts'
import {fileOrders} from './file-orders.ts'

serve(workerData.ring, fileOrders(workerData.chunks))
