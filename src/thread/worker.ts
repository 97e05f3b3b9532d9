/** Threads of one's own, and those that carry out the orders of a {@link Ring}, for as long as a run lasts. */
import module from 'node:module'
import {availableParallelism} from 'node:os'
import {dirname, extname} from 'node:path'
import {Worker} from 'node:worker_threads'
import type {Ring} from './ring.ts'

/** Whether a second thread can make anything faster. */
export function hasSeveralCores(): boolean {
  return availableParallelism() > 1
}

/** A thread of its own. Where none can be had, orders are carried out by whoever gives them. */
export class RingThread {
  /** Resolves when it serves, or when it is clear that it never will. Until then it holds up the end of the process. */
  readonly settled: Promise<void>
  readonly #ring: Ring
  readonly #worker: Worker | undefined
  readonly #ended: Promise<void>

  /**
   * @param module see {@link startThread}
   * @param data for the module, beside the ring's memory
   */
  constructor(module: string, ring: Ring, data: object) {
    this.#ring = ring
    const worker = startThread(module, {...data, ring: ring.memory})
    if (worker === undefined) ring.abandon()
    this.#worker = worker
    this.#ended = new Promise((resolve) => (worker === undefined ? resolve() : worker.once('exit', () => resolve())))
    this.settled = worker === undefined ? Promise.resolve() : untilSettled(worker)
  }

  /** Ends the thread after all orders that were given. It must end by itself: one that is stopped in a system call takes the process with it. */
  async close(): Promise<void> {
    await this.settled
    this.#worker?.ref()
    if (this.#ring.isServed) this.#ring.end()
    await this.#ended
  }
}

/** Holds up the end of the process as long: whoever waits for the thread may have nothing else to do. */
async function untilSettled(worker: Worker): Promise<void> {
  worker.ref()
  await new Promise<void>((resolve) => {
    // What goes wrong with a thread before it serves is no loss; later, whoever waits for its orders is told.
    for (const event of ['message', 'exit', 'error']) worker.once(event, () => resolve())
  })
  worker.unref()
}

/**
 * Starts a thread, which does not hold up the end of the process. Whoever started it tells it to end.
 *
 * @param module URL of its module without an extension: a checkout has `.ts`, a package `.js`
 * @param data for the module
 * @returns undefined where the system has no room for another thread, or forbids it; it may also do so later, with an error
 */
export function startThread(module: string, data: object): Worker | undefined {
  try {
    const worker = new Worker(new URL(module + extname(import.meta.filename)), {
      workerData: data,
      env: {...process.env, ...compileCache()},
      resourceLimits: {maxYoungGenerationSizeMb: 4},
    })
    worker.unref()
    return worker
  } catch {
    return undefined
  }
}

/** A thread finds compiled code only where its environment says so; the directory in use is one of the version in that one. */
function compileCache(): {NODE_COMPILE_CACHE?: string} {
  const directory = module.getCompileCacheDir()
  return directory === undefined ? {} : {NODE_COMPILE_CACHE: dirname(directory)}
}
