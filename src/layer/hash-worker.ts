/** The thread that hashes. */
import {workerData} from 'node:worker_threads'
import {serve} from '../thread/ring.ts'
import {hashOrders} from './hash-orders.ts'

serve(workerData.ring, hashOrders(workerData.chunks, workerData.digests))
