import test from 'ava'
import {Chunks} from '../../src/thread/chunks.ts'

test('a chunk is used again only when everybody is done with it', (t) => {
  const chunks = new Chunks(2)
  const waited: number[] = []
  let given = 0
  chunks.addFence({mark: () => given, wait: (mark) => void waited.push(mark)})
  const first = chunks.take()
  const second = chunks.take()
  t.throws(() => chunks.take())
  given = 5
  chunks.release(first)
  given = 7
  chunks.release(second)
  t.is(chunks.take().byteOffset, first.byteOffset)
  t.is(chunks.take().byteOffset, second.byteOffset)
  t.deepEqual(waited, [5, 7])
})

test('bytes that lie in shared memory are handed over as they are, others as copies', (t) => {
  const chunks = new Chunks(2)
  const chunk = chunks.take()
  chunk.write('shared')
  const seen: Buffer[] = []
  chunks.share(chunk.subarray(0, 6), (bytes) => seen.push(bytes))
  t.is(seen[0]!.buffer, chunks.memory)
  t.is(seen[0]!.toString(), 'shared')
  const large = Buffer.alloc(chunk.length + 10, 'x')
  const sizes: number[] = []
  chunks.share(large, (bytes) => {
    t.true(chunks.holds(bytes))
    t.true(bytes.every((byte) => byte === 0x78))
    sizes.push(bytes.length)
  })
  t.deepEqual(sizes, [chunk.length, 10])
})
