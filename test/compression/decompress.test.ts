import {spawnSync} from 'node:child_process'
import {randomBytes} from 'node:crypto'
import {constants, gzipSync, zstdCompressSync} from 'node:zlib'
import test from 'ava'
import fc from 'fast-check'
import {decompress} from '../../src/compression/decompress.ts'
import type {Compression} from '../../src/compression/detect.ts'
import {detectCompression} from '../../src/compression/detect.ts'
import {chunked, collect, WatchedSource} from '../helpers/streams.ts'

const hello = Buffer.from('hello ')
const world = Buffer.from('world')
const lines = Buffer.from(Array.from({length: 3000}, (_, n) => `line ${n}\n`).join(''))

/** Node has no encoder for xz: what `printf 'hello ' | xz`, `printf world | xz --check=crc32` and `: | xz` write. */
const xzHello = Buffer.from(
  'fd377a585a000004e6d6b4460200210116000000742fe5a301000568656c6c6f200000000ab0af04ba05ef1800011e06c12fa41d1fb6f37d010000000004595a',
  'hex',
)
const xzWorld = Buffer.from(
  'fd377a585a0000016922de360200210116000000742fe5a3010004776f726c64000000004311773a00011905bce8eccb9042990d010000000001595a',
  'hex',
)
const xzNothing = Buffer.from('fd377a585a000004e6d6b446000000001cdf44211fb6f37d010000000004595a', 'hex')

const zstd = (content: Buffer) => zstdCompressSync(content, {params: {[constants.ZSTD_c_checksumFlag]: 1}})
const skippable = (content: string) =>
  Buffer.concat([Buffer.from([0x5e, 0x2a, 0x4d, 0x18, content.length, 0, 0, 0]), Buffer.from(content)])
const noise = randomBytes(300_000)

interface Sample {
  readonly title: string
  readonly compression: Compression
  /** Members, frames or streams: data that ends behind any of them is whole. */
  readonly parts: readonly Buffer[]
  readonly content: Buffer
}

const samples: readonly Sample[] = [
  {title: 'gzip', compression: 'gzip', parts: [gzipSync(lines)], content: lines},
  {title: 'gzip of nothing', compression: 'gzip', parts: [gzipSync('')], content: Buffer.alloc(0)},
  {
    title: 'gzip of several members',
    compression: 'gzip',
    parts: [gzipSync(hello), gzipSync(''), gzipSync(''), gzipSync(world), gzipSync(noise)],
    content: Buffer.concat([hello, world, noise]),
  },
  {
    title: 'gzip with padding',
    compression: 'gzip',
    parts: [gzipSync(hello), gzipSync(world), ...Array.from({length: 1000}, () => Buffer.alloc(1))],
    content: Buffer.from('hello world'),
  },
  {title: 'zstd', compression: 'zstd', parts: [zstd(lines)], content: lines},
  {title: 'zstd without a checksum', compression: 'zstd', parts: [zstdCompressSync(lines)], content: lines},
  {title: 'zstd of nothing', compression: 'zstd', parts: [zstd(Buffer.alloc(0))], content: Buffer.alloc(0)},
  {title: 'zstd of zeros', compression: 'zstd', parts: [zstd(Buffer.alloc(300_000))], content: Buffer.alloc(300_000)},
  {
    title: 'zstd of several frames',
    compression: 'zstd',
    parts: [zstd(hello), zstd(Buffer.alloc(0)), zstd(world), zstd(noise), zstd(lines)],
    content: Buffer.concat([hello, world, noise, lines]),
  },
  {
    title: 'zstd with skippable frames',
    compression: 'zstd',
    parts: [skippable('index'), skippable(''), zstd(hello), skippable('more'), zstd(world), skippable('end')],
    content: Buffer.from('hello world'),
  },
  {title: 'xz', compression: 'xz', parts: [xzHello], content: hello},
  {title: 'xz of nothing', compression: 'xz', parts: [xzNothing], content: Buffer.alloc(0)},
  {
    title: 'xz of several streams with padding',
    compression: 'xz',
    parts: [xzHello, xzNothing, Buffer.alloc(4), Buffer.alloc(4), xzWorld, Buffer.alloc(4)],
    content: Buffer.from('hello world'),
  },
]

for (const {title, compression, parts, content} of samples) {
  const stored = Buffer.concat(parts)

  test(`decompresses ${title}, however it is cut into chunks`, async (t) => {
    const small = stored.length < 20_000
    const cuts = [
      [stored.length],
      [65_536],
      [4096],
      [7, 1, 30_000],
      [0, 5000, 0, 0, 77],
      ...(small ? [[1], [3, 0, 2]] : []),
    ]
    for (const sizes of cuts) {
      const actual = await collect(decompress(chunked(stored, sizes), compression))
      t.true(actual.equals(content), `chunks of ${sizes}`)
    }
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({min: 1, max: stored.length}), {minLength: 1, maxLength: 5}),
        async (sizes) => (await collect(decompress(chunked(stored, [...sizes, 4000]), compression))).equals(content),
      ),
      {numRuns: 20},
    )
  })

  test(`refuses ${title} with other data behind it`, async (t) => {
    for (const tail of ['x', 'garbage that is long enough for a header of anything', '\0\0\0\0garbage']) {
      const bytes = Buffer.concat([stored, Buffer.from(tail)])
      for (const sizes of [[bytes.length], [stored.length, bytes.length], [stored.length + 2, 1]]) {
        await t.throwsAsync(
          collect(decompress(chunked(bytes, sizes), compression)),
          {code: 'COMPRESSION_INVALID'},
          tail,
        )
      }
    }
  })

  if (stored.length < 2000) {
    test(`refuses ${title} that is cut off at any byte but an end`, async (t) => {
      const ends = new Set(parts.map((_, n) => Buffer.concat(parts.slice(0, n + 1)).length))
      for (let size = 0; size < stored.length; size++) {
        if (ends.has(size)) continue
        for (const sizes of [[size + 1], [1]]) {
          const reading = collect(decompress(chunked(stored.subarray(0, size), sizes), compression))
          await t.throwsAsync(reading, {code: 'COMPRESSION_INVALID'}, `at ${size}`)
        }
      }
    })

    test(`gives nothing wrong for ${title} with any byte changed`, async (t) => {
      for (let at = 0; at < stored.length; at++) {
        const bytes = Buffer.from(stored)
        bytes[at]! ^= 0x11
        const outcome = await collect(decompress(chunked(bytes, [30]), compression)).catch((error) => error.code)
        const right = Buffer.isBuffer(outcome) ? outcome.equals(content) : /^COMPRESSION_/.test(outcome)
        t.true(right, `at ${at}`)
      }
    })
  }
}

for (const [compression, stored] of [
  ['gzip', gzipSync(noise)],
  ['zstd', zstd(noise)],
  ['xz', Buffer.concat([xzHello, xzWorld])],
] as const) {
  test(`passes an error of the source of ${compression} on unchanged`, async (t) => {
    const failure = new Error('the disk is gone')
    for (const size of [0, 1, 10, stored.length - 1, stored.length]) {
      async function* failing() {
        yield* chunked(stored.subarray(0, size), [1000])
        throw failure
      }
      t.is(await t.throwsAsync(collect(decompress(failing(), compression))), failure)
    }
  })

  test(`closes the source of ${compression} when it is damaged`, async (t) => {
    const source = new WatchedSource([
      stored.subarray(0, 40),
      Buffer.from('nonsense'.repeat(30)),
      stored,
      stored,
      stored,
    ])
    await t.throwsAsync(collect(decompress(source, compression)), {code: 'COMPRESSION_INVALID'})
    t.true(source.closed)
  })

  test(`closes the source of ${compression} when its consumer stops early`, async (t) => {
    for (let turn = 0; turn < 3; turn++) {
      const source = new WatchedSource([stored.subarray(0, 60), stored.subarray(60)])
      for await (const chunk of decompress(source, compression)) {
        t.true(chunk.length > 0)
        break
      }
      t.true(source.closed)
    }
  })
}

for (const [compression, member] of [
  ['gzip', gzipSync(Buffer.alloc(1 << 20))],
  ['zstd', zstd(Buffer.alloc(1 << 20))],
] as const) {
  test(`reads ${compression} no faster than its output is taken`, async (t) => {
    const source = new WatchedSource(Array.from({length: 200}, () => member))
    let size = 0
    for await (const chunk of decompress(source, compression)) {
      size += chunk.length
      t.true(source.taken <= size / (1 << 20) + 4)
      await new Promise(setImmediate)
    }
    t.is(size, 200 << 20)
  })
}

const frameHeader = (...bytes: number[]) => Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...bytes])
const lastBlock = Buffer.concat([Buffer.from([(world.length << 3) | 1, 0, 0]), world])

test('reads a zstd window of 128 MiB and refuses a larger one', async (t) => {
  const read = (header: Buffer) => collect(decompress(chunked(Buffer.concat([header, lastBlock]), [5]), 'zstd'))
  t.deepEqual(await read(frameHeader(0, 17 << 3)), world)
  t.deepEqual(await read(frameHeader(0x20, world.length)), world)
  for (const header of [
    frameHeader(0, (17 << 3) | 1),
    frameHeader(0, 21 << 3),
    frameHeader(0, 255),
    frameHeader(0xa0, 0, 0, 0, 0x10),
    frameHeader(0xe0, 0, 0, 0, 0, 1, 0, 0, 0),
  ]) {
    await t.throwsAsync(read(header), {
      code: 'COMPRESSION_UNSUPPORTED',
      message: /expected at most 134217728 bytes, got \d+$/,
    })
  }
})

test('refuses an xz dictionary and an xz checksum that the decoder does not know', async (t) => {
  const dictionaryOf128MiB =
    'fd377a585a000004e6d6b446020021011e0000009b0751660100026269670000b926f2a4495e0dfb00011b030b2fb9101fb6f37d010000000004595a'
  const checkOfSHA256 =
    'fd377a585a00000ae1fb0ca10200210116000000742fe5a3010004776f726c6400000000486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7000135051283ddf2189b4b9a01000000000a595a'
  for (const hex of [dictionaryOf128MiB, checkOfSHA256]) {
    const reading = collect(decompress(chunked(Buffer.from(hex, 'hex'), [20]), 'xz'))
    await t.throwsAsync(reading, {code: 'COMPRESSION_UNSUPPORTED'})
  }
})

test('refuses bzip2', (t) => {
  t.throws(() => decompress(chunked(world, [5]), 'bzip2'), {code: 'COMPRESSION_UNSUPPORTED'})
})

test('passes what is not compressed through', async (t) => {
  t.deepEqual(await collect(decompress(chunked(lines, [999]), 'none')), lines)
})

for (const [tool, ...args] of [
  ['gzip', '-c'],
  ['pigz', '-c', '-b', '128'],
  ['zstd', '-c', '-1'],
  ['zstd', '-c', '-19', '--long=27'],
  ['xz', '-c', '-0'],
  ['xz', '-c', '-9', '--block-size=100000'],
] as const) {
  const content = Buffer.concat([noise, lines, Buffer.alloc(1_000_000), noise, lines])
  const {stdout, status} = spawnSync(tool, args, {input: content, maxBuffer: 1e8})
  const toolTest = status === 0 ? test : test.skip
  toolTest(`reads what "${tool} ${args.join(' ')}" writes`, async (t) => {
    const compression = detectCompression(stdout)
    t.is(compression as string, tool === 'pigz' ? 'gzip' : tool)
    t.true((await collect(decompress(chunked(stdout, [65_536]), compression))).equals(content))
    const twice = Buffer.concat([stdout, stdout])
    t.true((await collect(decompress(chunked(twice, [10_007]), compression))).equals(Buffer.concat([content, content])))
  })
}
