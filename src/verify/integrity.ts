/** Integrity of a file by a string of Subresource Integrity, as npm and browsers use it. @see https://www.w3.org/TR/SRI/ */
import {createReadStream} from 'node:fs'
import {stat} from 'node:fs/promises'
import ssri from 'ssri'
import {explainSystemError} from '../archive/system-error.ts'
import {digestSize} from '../digest.ts'
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'
import type {Findings} from './findings.ts'

/** What was asked for, and what the file has. */
export interface Integrity {
  readonly expected: string
  /** Of the strongest algorithm that was asked for. */
  readonly found: string
}

/** Algorithms from the strongest on; sha1 and md5 prove nothing any more. */
const algorithms = ['sha512', 'sha384', 'sha256'] as const

/**
 * Reads what a user typed: one or several of `sha512-BASE64`, of which those of the strongest algorithm count.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID
 */
export function parseIntegrity(text: string): string {
  const parsed = ssri.parse(text, {strict: true})
  const known = algorithms.flatMap((algorithm) => parsed?.[algorithm] ?? []).filter(isWhole)
  const words = text.trim().split(/\s+/)
  if (known.length > 0 && known.length === words.length) return text.trim()
  throw new ImgtoolError(
    'REFERENCE_INVALID',
    `Cannot read the integrity "${printableText(text)}": expected sha256-, sha384- or sha512- and a digest in base64`,
    {hint: 'Make one with: openssl dgst -sha256 -binary FILE | base64'},
  )
}

/** Digits of hex are base64 as well, but of a digest that is too long. */
function isWhole({algorithm, digest}: {readonly algorithm: string; readonly digest: string}): boolean {
  return Buffer.from(digest, 'base64').length === digestSize(algorithm)
}

/**
 * Reads a file once, and compares.
 *
 * @throws {ImgtoolError} REFERENCE_INVALID for what is no file: standard input is read once only, and a directory has no bytes
 */
export async function checkIntegrity(path: string, expected: string, findings: Findings): Promise<Integrity> {
  const stats = path === '-' ? undefined : await stat(path)
  if (stats?.isFile() !== true) {
    throw new ImgtoolError('REFERENCE_INVALID', `Cannot check the integrity of "${printableText(path)}": it is no file`)
  }
  const found = await integrityOf(path, expected)
  const isRight = ssri.parse(expected).match(found) !== false
  if (!isRight) {
    findings.add({
      severity: 'error',
      code: 'INTEGRITY_MISMATCH',
      message: 'The archive does not have the integrity that was asked for',
      expected: {value: expected, from: '--integrity'},
      found: {value: found, from: 'the bytes of the archive'},
    })
  }
  return {expected, found}
}

async function integrityOf(path: string, expected: string): Promise<string> {
  const parsed = ssri.parse(expected)
  const strongest = algorithms.filter((algorithm) => parsed[algorithm] !== undefined).slice(0, 1)
  try {
    return (await ssri.fromStream(createReadStream(path), {algorithms: strongest})).toString()
  } catch (error) {
    throw explainSystemError(error, printableText(path), {archive: path})
  }
}
