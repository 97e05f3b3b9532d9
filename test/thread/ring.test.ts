import {once} from 'node:events'
import {Worker} from 'node:worker_threads'
import test from 'ava'
import {firstWord, Ring, type Run} from '../../src/thread/ring.ts'

const size = 8
/** Adds the two numbers of an order. */
const add: Run = ({words}, at) => words[at + firstWord]! + words[at + firstWord + 1]!

const module = new URL('../../src/thread/ring.ts', import.meta.url).href
const adder = `
  import {workerData} from 'node:worker_threads'
  const {serve, firstWord} = await import(${JSON.stringify(module)})
  await new Promise((resolve) => setTimeout(resolve, workerData.delay))
  serve(workerData.ring, ({words}, at) => words[at + firstWord] + words[at + firstWord + 1])
`

function serve(ring: Ring, delay = 0): Promise<number> {
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(adder)}`), {
    workerData: {ring: ring.memory, delay},
  })
  return new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
}

function give(ring: Ring, first: number, second: number, isLarge = false): number {
  const at = ring.next()
  ring.records.words[at + firstWord] = first
  ring.records.words[at + firstWord + 1] = second
  ring.give(isLarge)
  return ring.mark() - 1
}

test('orders are carried out in their order, however many there are', async (t) => {
  const ring = new Ring(16, size, add)
  const ended = serve(ring)
  const results: number[] = []
  ring.onResult = (order, result) => {
    t.is(order, results.length)
    results.push(result)
  }
  for (let order = 0; order < 5000; order++) give(ring, order, 1, order % 7 === 0)
  ring.drain()
  t.deepEqual(
    results,
    Array.from({length: 5000}, (_, order) => order + 1),
  )
  t.true(ring.isServed)
  ring.end()
  t.is(await ended, 0)
})

test('a result can be had when its order is done', async (t) => {
  const ring = new Ring(16, size, add)
  const ended = serve(ring)
  const order = give(ring, 20, 3)
  ring.wait(order + 1)
  t.true(ring.isCollected(order))
  t.is(ring.resultOf(order), 23)
  t.is(ring.countOpen(), 0)
  ring.end()
  await ended
})

test('what a callback throws reaches whoever waits', async (t) => {
  const ring = new Ring(16, size, add)
  const ended = serve(ring)
  ring.onResult = (_, result) => {
    if (result === 13) throw new Error('thirteen')
  }
  for (let order = 1; order < 16; order++) give(ring, order, 0)
  t.throws(() => ring.drain(), {message: 'thirteen'})
  ring.drain()
  ring.end()
  await ended
})

test('without a thread the orders are carried out by whoever waits for them', async (t) => {
  const ring = new Ring(4, size, add)
  const results: number[] = []
  ring.onResult = (_, result) => results.push(result)
  for (let order = 0; order < 10; order++) give(ring, order, 1)
  ring.drain()
  t.deepEqual(results, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  t.false(ring.isServed)
  // A thread that comes too late must not carry out anything.
  t.is(await serve(ring), 0)
  t.false(ring.isServed)
})

/** Breaks down when its gate is opened, and then opens another. */
const breaking = `
  import {workerData} from 'node:worker_threads'
  const {serve} = await import(${JSON.stringify(module)})
  const gate = new Int32Array(workerData.gate)
  try {
    serve(workerData.ring, () => {
      Atomics.wait(gate, 0, 0)
      throw new Error('broken')
    })
  } catch {
    Atomics.store(gate, 1, 1)
    Atomics.notify(gate, 1)
  }
`

/** Needs more memory than it has. */
const hungry = `
  import {workerData} from 'node:worker_threads'
  const {serve} = await import(${JSON.stringify(module)})
  serve(workerData.ring, () => {
    for (const kept = [];;) kept.push(Array.from({length: 10_000}, (_, n) => n / 3))
  })
`

test.serial('whoever waits learns of a thread that breaks down just before the sleep', async (t) => {
  const ring = new Ring(16, size, add)
  const gate = new Int32Array(new SharedArrayBuffer(8))
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(breaking)}`), {
    workerData: {ring: ring.memory, gate: gate.buffer},
  })
  await once(worker, 'message')
  give(ring, 1, 1, true)
  const {wait} = Atomics
  t.teardown(() => Object.assign(Atomics, {wait}))
  Object.assign(Atomics, {
    wait(words: Int32Array, at: number, value: number, timeout?: number) {
      Atomics.store(gate, 0, 1)
      Atomics.notify(gate, 0)
      wait(gate, 1, 0)
      const outcome = wait(words, at, value, timeout ?? 10_000)
      if (timeout === undefined && outcome === 'timed-out') throw new Error('would sleep for ever')
      return outcome
    },
  })
  t.throws(() => ring.drain(), {message: /ended before its work/})
  await once(worker, 'exit')
})

test('orders are carried out by nobody else when a thread has broken down among them', async (t) => {
  const ring = new Ring(16, size, add)
  const gate = new Int32Array(new SharedArrayBuffer(8)).fill(1)
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(breaking)}`), {
    workerData: {ring: ring.memory, gate: gate.buffer},
  })
  give(ring, 1, 1, true)
  await once(worker, 'exit')
  t.throws(() => ring.drain(), {message: /ended before its work/})
})

const testOnLinux = process.platform === 'linux' ? test : test.skip

testOnLinux('whoever waits learns of a thread that is out of memory', async (t) => {
  const ring = new Ring(16, size, add)
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(hungry)}`), {
    workerData: {ring: ring.memory},
    resourceLimits: {maxOldGenerationSizeMb: 16},
    stdout: true,
    stderr: true,
  })
  await once(worker, 'message')
  give(ring, 1, 1)
  t.throws(() => ring.drain(), {message: /ended before its work/})
  const [error] = await once(worker, 'error')
  t.is(error.code, 'ERR_WORKER_OUT_OF_MEMORY')
})
