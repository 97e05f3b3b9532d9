/** Content digests: `sha256:<64 hex>` and its siblings, parsed strictly, computed in one place. */
import {createHash} from 'node:crypto'
import {ImgtoolError} from './errors.ts'

/** A digest as image documents write it, `algorithm:hex`, already checked by {@link parseDigest}. */
export type Digest = `${'sha256' | 'sha384' | 'sha512'}:${string}`

const hexLength: Record<string, number> = {sha256: 64, sha384: 96, sha512: 128}

/** What a {@link Digest} may be computed by. */
export const digestAlgorithms: readonly string[] = Object.keys(hexLength)

/**
 * Checks a digest from a document.
 *
 * @param where names the document and field, for the message
 * @throws {ImgtoolError} DIGEST_INVALID for anything but a known algorithm and the exact number of lower-case hex digits
 * @see OCI image-spec descriptor.md, digests; https://nvd.nist.gov/vuln/detail/CVE-2024-3727 is why nothing else passes
 */
export function parseDigest(value: unknown, where: string): Digest {
  if (typeof value === 'string') {
    const [algorithm = '', hex = '', ...rest] = value.split(':')
    if (rest.length === 0 && hexLength[algorithm] === hex.length && /^[0-9a-f]+$/.test(hex) && !value.includes('\n')) {
      return value as Digest
    }
  }
  throw new ImgtoolError('DIGEST_INVALID', `${where} is not a digest: ${JSON.stringify(value) ?? 'nothing'}`)
}

/** Whether it is an id of docker's: of a layer before 1.10, of a container, or the hex part of a {@link sha256}. */
export function isID(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text) && !text.includes('\n')
}

/** Whether it is a SHA-256 digest, as docker's ids of images and layers are. */
export function isDigest(text: string | undefined): text is Digest {
  return text !== undefined && /^sha256:[0-9a-f]{64}$/.test(text)
}

/** The hex part. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The algorithm, as `node:crypto` names it. */
export function digestAlgorithm(digest: Digest): string {
  return digest.slice(0, digest.indexOf(':'))
}

/** sha256 of bytes that are in memory. */
export function sha256(bytes: Buffer | string): Digest {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** A digest that grows. */
export interface RunningDigest {
  /** @param chunk of memory that threads share is read until it is released; any other is done with when this returns */
  update(chunk: Buffer): void
  digest(): Digest
}

/** Computes a digest where it is asked for. */
export function startDigest(algorithm = 'sha256'): RunningDigest {
  const hash = createHash(algorithm)
  return {
    update: (chunk) => void hash.update(chunk),
    digest: () => `${algorithm}:${hash.digest('hex')}` as Digest,
  }
}

/** Bytes of a digest. */
export function digestSize(algorithm: string): number {
  return hexLength[algorithm]! / 2
}

/** The first twelve hex digits, as docker prints ids. */
export function shortID(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12)
}
