import fs from 'node:fs'
import path from 'node:path'
import {gzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {rangeBlob} from '../../src/archive/file-range.ts'
import {decompress} from '../../src/compression/decompress.ts'
import {InflateThread} from '../../src/compression/inflate-thread.ts'
import {sha256} from '../../src/digest.ts'
import {isImgtoolError} from '../../src/errors.ts'
import {Chunks} from '../../src/thread/chunks.ts'
import {scratch} from '../helpers/layers.ts'

const content = Buffer.from(Array.from({length: 60_000}, (_, at) => `line ${(at * at) % 977}\n`).join(''))
const small = gzipSync('content')
const damage = (bytes: Buffer, at: number) =>
  Buffer.from(bytes.map((byte, index) => (index === at ? byte ^ 0x55 : byte)))

const inputs: Record<string, Buffer> = {
  'one member': gzipSync(content),
  'a member that fills chunks exactly': gzipSync(Buffer.alloc(2 * 512 * 1024, 'x')),
  'two members': Buffer.concat([gzipSync(content), small]),
  'an empty member between others': Buffer.concat([small, gzipSync(''), small]),
  'nothing but an empty member': gzipSync(''),
  'many small members': Buffer.concat(Array.from({length: 3000}, () => small)),
  'zero bytes behind the last member': Buffer.concat([small, Buffer.alloc(1000)]),
  'a million zero bytes behind the last member': Buffer.concat([small, Buffer.alloc(1_000_000)]),
  'other bytes behind the last member': Buffer.concat([small, Buffer.from('tail')]),
  'other bytes behind zero bytes': Buffer.concat([small, Buffer.alloc(600_000), Buffer.from('tail')]),
  'half a header behind the last member': Buffer.concat([small, small.subarray(0, 5)]),
  'no gzip at all': Buffer.from('this is no gzip, whatever anybody says'),
  ...Object.fromEntries(Array.from(small, (_, size) => [`the first ${size} bytes`, small.subarray(0, size)]).slice(1)),
  ...Object.fromEntries(Array.from(small, (_, at) => [`damage at ${at}`, damage(small, at)])),
}

/** What came of decompressing: the digest of the content, or what is wrong. */
type Outcome = {readonly content: string; readonly stored?: string | undefined} | {readonly wrong: string}

function blobOf(t: ExecutionContext, bytes: Buffer) {
  const file = path.join(scratch(t), 'file')
  fs.writeFileSync(file, Buffer.concat([Buffer.from('before'), bytes, Buffer.from('behind')]))
  const open = () => fs.promises.open(file)
  return rangeBlob({name: 'layer', offset: 6, size: bytes.length, open, close: (handle) => handle.close()})
}

async function outcome(run: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await run()
  } catch (error) {
    if (isImgtoolError(error)) return {wrong: `${error.code}: ${error.message}`}
    throw error
  }
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<string> {
  const pieces: Buffer[] = []
  for await (const chunk of chunks) pieces.push(Buffer.from(chunk))
  return sha256(Buffer.concat(pieces))
}

function startThread(t: ExecutionContext): InflateThread {
  const thread = new InflateThread(new Chunks(16))
  t.teardown(() => thread.close())
  return thread
}

async function inflate(thread: InflateThread, blob: ReturnType<typeof blobOf>): Promise<Outcome> {
  const bytes = await blob.openFile!()
  const pieces: Buffer[] = []
  try {
    const chunks = thread.inflate(bytes, 'sha256', () => {})
    for (let step = await chunks.next(); ; step = await chunks.next()) {
      if (step.done) return {content: sha256(Buffer.concat(pieces)), stored: step.value}
      pieces.push(Buffer.from(step.value))
    }
  } finally {
    await bytes.close()
  }
}

test('another thread decompresses what this one does, and finds the same wrong', async (t) => {
  const thread = startThread(t)
  for (const [name, bytes] of Object.entries(inputs)) {
    const blob = blobOf(t, bytes)
    const here = await outcome(async () => ({content: await collect(decompress(blob.stream(), 'gzip'))}))
    const there = await outcome(() => inflate(thread, blob))
    t.deepEqual(there, 'content' in here ? {...here, stored: sha256(bytes)} : here, name)
  }
})

test('a stream that nobody takes to its end leaves the thread free for the next', async (t) => {
  const thread = startThread(t)
  const blob = blobOf(t, gzipSync(Buffer.alloc(50_000_000)))
  const bytes = await blob.openFile!()
  for await (const chunk of thread.inflate(bytes, undefined, () => {})) {
    t.true(chunk.every((byte) => byte === 0))
    break
  }
  await bytes.close()
  t.deepEqual(await inflate(thread, blobOf(t, small)), {content: sha256('content'), stored: sha256(small)})
})

test('an archive that ends early is told from damage', async (t) => {
  const file = path.join(scratch(t), 'file')
  const bytes = gzipSync(content)
  fs.writeFileSync(file, bytes.subarray(0, 494))
  const open = () => fs.promises.open(file)
  const blob = rangeBlob({name: 'layer', offset: 0, size: bytes.length, open, close: (handle) => handle.close()})
  const ends = {
    wrong: `ARCHIVE_TRUNCATED: Cannot read "layer": the archive ends after 494 of its ${bytes.length} bytes`,
  }
  t.deepEqual(await outcome(() => inflate(startThread(t), blob)), ends)
})
