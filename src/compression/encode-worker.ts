/** A thread that compresses blocks until it is told that there are no more. */
import {parentPort, workerData} from 'node:worker_threads'
import type {Block} from './blocks.ts'
import {loadEncoder} from './encoders.ts'

const encode = await loadEncoder(workerData)
parentPort?.on('message', (block: Block | undefined) => {
  if (block === undefined) parentPort!.close()
  else parentPort!.postMessage(encode(block))
})
