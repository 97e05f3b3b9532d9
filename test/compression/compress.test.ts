import {spawnSync} from 'node:child_process'
import {createHash} from 'node:crypto'
import {readdirSync, readFileSync} from 'node:fs'
import path from 'node:path'
import {gunzipSync} from 'node:zlib'
import test from 'ava'
import {type CompressionOptions, chooseCompressor, compress, startCompressor} from '../../src/compression/compress.ts'
import {decompress} from '../../src/compression/decompress.ts'
import {hasLibrary} from '../../src/os/deflate-libraries.ts'
import {chunked, collect, WatchedSource} from '../helpers/streams.ts'

/** Bytes that look random and are the same everywhere. */
function noise(size: number): Buffer {
  const parts = Array.from({length: Math.ceil(size / 64)}, (_, n) => createHash('sha512').update(`${n}`).digest())
  return Buffer.concat(parts).subarray(0, size)
}

const lines = Buffer.from(Array.from({length: 150_000}, (_, n) => `line ${n}\n`).join(''))
/** Several blocks of every compressor: some that cannot be compressed, some that hardly count, and matches from one to the next. */
const mixed = Buffer.concat([lines, noise(1_500_000), Buffer.alloc(6_000_000), lines, noise(100_000), lines])

const contents: readonly (readonly [string, Buffer])[] = [
  ['nothing', Buffer.alloc(0)],
  ['one byte', Buffer.from('x')],
  ['less than a window', lines.subarray(0, 20_000)],
  ['some full blocks', Buffer.concat([lines, lines, lines]).subarray(0, 4096 * 1024)],
  ['what does not end with a block', mixed],
]

const compressors = ['zlib', 'pako', 'libdeflate', 'isal', 'zstd'] as const
type Name = (typeof compressors)[number]
const isLibrary = (name: Name) => name === 'libdeflate' || name === 'isal'
const available = compressors.filter((name) => !isLibrary(name) || hasLibrary(name as 'isal'))
const options = (compressor: Name): CompressionOptions =>
  compressor === 'zstd' ? {compression: 'zstd'} : {compression: 'gzip', compressor}
const levels: Readonly<Record<Name, readonly [number, number]>> = {
  zlib: [1, 9],
  pako: [1, 9],
  libdeflate: [1, 12],
  isal: [1, 3],
  zstd: [1, 19],
}

const run = (content: Buffer, how: CompressionOptions, sizes = [65_536]) =>
  collect(compress(chunked(content, sizes), how))

for (const name of compressors) {
  const how = options(name)
  const testIt = available.includes(name) ? test : test.skip

  testIt(`compresses anything with ${name}, and all readers get it back`, async (t) => {
    await using compressor = await startCompressor({...how, threads: 2})
    for (const [what, content] of contents) {
      const stored = await collect(compressor.compress(chunked(content, [65_536])))
      t.true((await collect(decompress(chunked(stored, [10_007]), how.compression))).equals(content), what)
      const tool = spawnSync(how.compression, ['-t'], {input: stored})
      if (tool.error === undefined) t.is(tool.status, 0, `${tool.stderr}`)
      else t.log(`${how.compression} is not here`)
      if (how.compression === 'zstd') continue
      t.true(gunzipSync(stored).equals(content), what)
      // No flags and no time; the eighth byte may say how hard the compressor tried; no operating system.
      t.regex(stored.toString('hex', 0, 10), /^1f8b080000000000..ff$/)
    }
  })

  testIt(`makes the same bytes with ${name} for any number of threads and any chunks`, async (t) => {
    const expected = await run(mixed, {...how, threads: 1})
    t.true(expected.length < mixed.length / 3)
    for (const [threads, sizes] of [
      [1, [999_999]],
      [2, [65_536]],
      [8, [7, 262_144, 0]],
    ] as const) {
      t.true((await run(mixed, {...how, threads}, [...sizes])).equals(expected), `${threads} threads`)
    }
  })

  testIt(`compresses several streams at a time with ${name}`, async (t) => {
    await using compressor = await startCompressor({...how, threads: 2})
    const stored = await Promise.all(
      contents.map(([, content]) => collect(compressor.compress(chunked(content, [65_536])))),
    )
    for (const [index, [what, content]] of contents.entries()) {
      t.true(stored[index]!.equals(await run(content, {...how, threads: 1})), what)
    }
  })

  testIt(`knows all levels of ${name} and refuses others`, async (t) => {
    const [least, most] = levels[name]
    const sample = readFileSync(path.join(import.meta.dirname, '../../package-lock.json'))
    const sizes: number[] = []
    for (let level = least; level <= most; level++) {
      const stored = await run(sample, {...how, level, threads: 1})
      t.true((await collect(decompress(chunked(stored, [4096]), how.compression))).equals(sample))
      sizes.push(stored.length)
    }
    t.true(sizes.at(-1)! < sizes[0]!)
    for (const level of [least - 1, most + 1, 1.5, Number.NaN]) {
      await t.throwsAsync(chooseCompressor({...how, level}), {code: 'REFERENCE_INVALID'})
      await t.throwsAsync(run(sample, {...how, level}), {code: 'REFERENCE_INVALID'})
    }
  })

  testIt(`passes an error of the source to whoever reads what ${name} writes`, async (t) => {
    const failure = new Error('the disk is gone')
    for (const size of [0, 1000, mixed.length]) {
      async function* failing() {
        yield* chunked(mixed.subarray(0, size), [65_536])
        throw failure
      }
      t.is(await t.throwsAsync(collect(compress(failing(), {...how, threads: 2}))), failure)
    }
  })

  testIt(
    `closes the source of ${name} when its consumer stops early, and reads no further ahead than its threads need`,
    async (t) => {
      const source = new WatchedSource(Array.from({length: 100}, () => mixed))
      for await (const chunk of compress(source, {...how, threads: 2})) {
        t.true(chunk.length > 0)
        if (source.taken > 0) break
      }
      t.true(source.closed)
      t.true(source.taken <= 3)
    },
  )

  if (isLibrary(name) && !available.includes(name)) {
    test(`refuses ${name} where the system has no such library`, async (t) => {
      const error = await t.throwsAsync(run(lines, how), {code: 'PLATFORM_UNSUPPORTED'})
      t.regex((error as Error & {hint: string}).hint, /Install/)
    })
  }
}

test('chooses libdeflate where the system has it, else zlib', async (t) => {
  const expected = hasLibrary('libdeflate') ? 'libdeflate' : 'zlib'
  for (const compressor of ['auto', undefined] as const) {
    const {compressor: chosen} = await chooseCompressor({compression: 'gzip', compressor})
    t.is(chosen, expected)
  }
})

test('makes with pako what it made on every other machine', async (t) => {
  const stored = await run(mixed, {compression: 'gzip', compressor: 'pako', level: 6})
  t.is(
    createHash('sha256').update(stored).digest('hex'),
    '03bf1a5addfcfc191451980fa5625fbb03dfafa03cdb5a0f2cabfb37bb7033a5',
  )
})

const threads = () => readdirSync('/proc/self/task').length
const testThreads = process.platform === 'linux' ? test.serial : test.serial.skip

testThreads('leaves no thread behind, whether all is read or not', async (t) => {
  for (const name of available) {
    const how: CompressionOptions = {...options(name), threads: 4}
    await run(mixed, how)
    const before = threads()
    let during = 0
    for await (const chunk of compress(chunked(Buffer.concat([mixed, mixed, mixed]), [65_536]), how)) {
      during = threads()
      if (chunk.length > 1000) break
    }
    t.is(during - before, 4, name)
    t.is(threads(), before, name)
  }
})
