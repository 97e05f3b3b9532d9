/** The thread that decompresses. */
import {workerData} from 'node:worker_threads'
import {serve} from '../thread/ring.ts'
import {inflateOrders} from './inflate-orders.ts'

serve(workerData.ring, inflateOrders(workerData.chunks, workerData.note))
