import {spawnSync} from 'node:child_process'
import {gzipSync, zstdCompressSync} from 'node:zlib'
import test from 'ava'
import {detectCompression} from '../../src/compression/detect.ts'

test('knows the compressions by their first bytes', (t) => {
  t.is(detectCompression(gzipSync('')), 'gzip')
  t.is(detectCompression(zstdCompressSync('')), 'zstd')
  t.is(detectCompression(Buffer.from('502a4d1804000000', 'hex')), 'zstd')
  t.is(detectCompression(Buffer.from('5f2a4d1804000000', 'hex')), 'zstd')
  t.is(detectCompression(Buffer.from('fd377a585a000004e6d6b446', 'hex')), 'xz')
  t.is(detectCompression(Buffer.from('BZh91AY&SY')), 'bzip2')
  t.is(detectCompression(Buffer.from('BZh9\x17\x72\x45\x38\x50\x90', 'latin1')), 'bzip2')
})

test('takes everything else for plain data', (t) => {
  for (const head of [
    '',
    '\x1f',
    '\x1f\x8b',
    '\x1f\x8b\x07',
    'BZh9 is a file name',
    'P*M',
    '\xfd7zXZ',
    '\0'.repeat(512),
    'etc/',
  ]) {
    t.is(detectCompression(Buffer.from(head, 'latin1')), 'none')
  }
})

const bzip2 = spawnSync('bzip2', ['-c'], {input: ''})
const bzip2Test = bzip2.status === 0 ? test : test.skip
bzip2Test('knows what bzip2 writes, even of nothing', (t) => {
  t.is(detectCompression(bzip2.stdout), 'bzip2')
  t.is(detectCompression(spawnSync('bzip2', ['-c'], {input: 'x'}).stdout), 'bzip2')
})
