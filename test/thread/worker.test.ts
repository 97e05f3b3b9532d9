import test from 'ava'
import {writeScratch} from '../helpers/image.ts'
import {run} from '../helpers/run.ts'

const moduleOf = (name: string) => new URL(`../../src/${name}`, import.meta.url).href

/** Has a thread of digests, and nothing else that keeps it going. */
const scriptOf = (then: string) => `
  import {RingThread} from '${moduleOf('thread/worker.ts')}'
  import {Ring} from '${moduleOf('thread/ring.ts')}'
  import {orderSize} from '${moduleOf('layer/hash-orders.ts')}'
  const ring = new Ring(16, orderSize, () => 0)
  const memory = {chunks: new SharedArrayBuffer(8), digests: new SharedArrayBuffer(8)}
  const thread = new RingThread('${moduleOf('layer/hash-worker')}', ring, memory)
  ${then}
  await thread.settled
  console.log(ring.isServed ? 'served' : 'not served')
  await thread.close()
  console.log('closed')
`

test('a process that has nothing else to do waits for a thread to start and to end', async (t) => {
  t.is(await run(process.execPath, [writeScratch(t, scriptOf(''), 'script.mjs')]), 'served\nclosed\n')
})

test('a process that has nothing else to do waits for a thread that it has given up', async (t) => {
  const script = scriptOf('ring.abandon()')
  t.is(await run(process.execPath, [writeScratch(t, script, 'script.mjs')]), 'not served\nclosed\n')
})
