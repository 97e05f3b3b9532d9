import fs from 'node:fs'
import path from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {FileThread} from '../../src/driver/file-writer.ts'
import {InPlace} from '../../src/driver/in-place.ts'
import {readPrivileges} from '../../src/driver/privileges.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {entry, scratch} from '../helpers/layers.ts'

/** A tree whose files another thread makes. */
async function start(t: ExecutionContext) {
  const root = scratch(t)
  const descriptor = fs.openSync(root, 'r')
  const thread = new FileThread(new Chunks(16))
  await thread.settled
  const changes = new InPlace(descriptor, readPrivileges(), {onWarning: () => {}, thread})
  t.teardown(async () => {
    changes.close()
    fs.closeSync(descriptor)
    await thread.close()
  })
  // One chunk for everything: to take another one would wait for orders.
  const chunk = thread.chunks.take()
  let end = 0
  const file = (name: string, content: string) => {
    const bytes = chunk.subarray(end, end + chunk.write(content, end))
    end += bytes.length
    changes.add(entry({path: name, size: bytes.length}))
    changes.data(bytes, 0)
    changes.end()
  }
  const directory = (name: string) => changes.add(entry({path: name, kind: 'directory', mode: 0o755}))
  return {root, changes, file, directory}
}

/** Gives the other thread time to do all it was told, and this one none to learn of it. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
}

test('a file that could not be made there is known until this thread has made it', async (t) => {
  const {root, changes, file, directory} = await start(t)
  changes.startLayer(false)
  for (const name of ['d', 'x']) directory(name)
  file('x/old', 'old')
  // So that nothing of x is open any more.
  for (let at = 0; at < 30; at++) directory(`e${at}`)
  directory('d')
  changes.startLayer(true)
  for (let at = 0; at < 64; at++) {
    file(`d/${at}`, 'content')
    if (at % 16 === 15) pause()
  }
  file('x', 'x'.repeat(150_000))
  pause()
  file('d/64', 'content')
  directory('x')
  file('x/new', 'new')
  changes.finish()
  t.deepEqual(fs.readdirSync(path.join(root, 'x')), ['new'])
})

test('one path many times in a layer is what came last', async (t) => {
  const {root, changes, file} = await start(t)
  changes.startLayer(false)
  for (let at = 0; at < 100; at++) file(`d/${at}`, 'old')
  changes.startLayer(true)
  for (let round = 0; round < 8; round++) for (let at = 0; at < 100; at++) file(`d/${at - (at % 12)}`, `${round}.${at}`)
  changes.finish()
  t.is(fs.readFileSync(path.join(root, 'd/0'), 'utf8'), '7.11')
  t.is(fs.readFileSync(path.join(root, 'd/96'), 'utf8'), '7.99')
  t.is(fs.readFileSync(path.join(root, 'd/1'), 'utf8'), 'old')
})
