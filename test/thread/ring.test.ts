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
