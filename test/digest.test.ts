import {createHash} from 'node:crypto'
import test from 'ava'
import {digestAlgorithm, digestHex, parseDigest, sha256, shortID, startDigest} from '../src/digest.ts'

const hex = '0123456789abcdef'.repeat(4)

test('takes digests of the known algorithms, exactly as long as they are', (t) => {
  for (const digest of [`sha256:${hex}`, `sha384:${hex}${hex.slice(32)}`, `sha512:${hex}${hex}`]) {
    const parsed: string = parseDigest(digest, 'x')
    t.is(parsed, digest)
    const parts: string[] = [digestAlgorithm(parseDigest(digest, 'x')), digestHex(parseDigest(digest, 'x'))]
    t.is(parts.join(':'), digest)
  }
})

for (const value of [
  '',
  ':',
  'sha256',
  'sha256:',
  hex,
  `sha256:${hex.slice(1)}`,
  `sha256:${hex}0`,
  `sha256:${hex.toUpperCase()}`,
  `SHA256:${hex}`,
  `sha256:${hex}:`,
  `sha256:${hex}\n`,
  ` sha256:${hex}`,
  `sha256:${hex.slice(3)}../`,
  `sha512:${hex}`,
  `md5:${hex.slice(32)}`,
  `constructor:${hex}`,
  '__proto__:',
  'toString:0',
  undefined,
  null,
  7,
  {},
]) {
  test(`refuses ${JSON.stringify(value)} as a digest`, (t) => {
    const error = t.throws(() => parseDigest(value, 'the digest'), {code: 'DIGEST_INVALID'})
    t.true(error?.message.startsWith('the digest is not a digest: '))
  })
}

test('computes digests at once and by parts', (t) => {
  t.is(sha256('abc'), `sha256:${createHash('sha256').update('abc').digest('hex')}`)
  for (const algorithm of ['sha256', 'sha512']) {
    const running = startDigest(algorithm)
    running.update(Buffer.from('a'))
    running.update(Buffer.from('bc'))
    t.is<string, string>(running.digest(), `${algorithm}:${createHash(algorithm).update('abc').digest('hex')}`)
  }
})

test('shortens ids as docker prints them', (t) => {
  t.is(shortID(`sha256:${hex}`), '0123456789ab')
  t.is(shortID(hex), '0123456789ab')
})
