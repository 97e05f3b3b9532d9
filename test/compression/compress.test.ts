import {gunzipSync} from 'node:zlib'
import test from 'ava'
import {type CompressionOptions, compress} from '../../src/compression/compress.ts'
import {decompress} from '../../src/compression/decompress.ts'
import {chunked, collect} from '../helpers/streams.ts'

const lines = Buffer.from(Array.from({length: 30_000}, (_, n) => `line ${n}\n`).join(''))

for (const options of [
  {compression: 'gzip', compressor: 'zlib'},
  {compression: 'zstd'},
] as const satisfies CompressionOptions[]) {
  const title = Object.values(options).join(' by ')

  test(`compresses to ${title}, however the input is cut into chunks`, async (t) => {
    const whole = await collect(compress(chunked(lines, [lines.length]), options))
    t.true(whole.length < lines.length / 3)
    for (const sizes of [[1000], [7, 65_536, 0]]) {
      const stored = await collect(compress(chunked(lines, sizes), options))
      t.true(stored.equals(whole))
    }
    t.true((await collect(decompress(chunked(whole, [4096]), options.compression))).equals(lines))
  })

  for (const level of [-1, 20, 1.5, Number.NaN]) {
    test(`refuses level ${level} of ${title}`, async (t) => {
      await t.throwsAsync(collect(compress(chunked(lines, [1000]), {...options, level})), {code: 'REFERENCE_INVALID'})
    })
  }
}

test('writes no time and no name into a gzip header', async (t) => {
  const stored = await collect(compress(chunked(lines, [5000]), {compression: 'gzip', compressor: 'zlib'}))
  t.is(stored.toString('hex', 0, 8), '1f8b080000000000')
  t.true(gunzipSync(stored).equals(lines))
})
