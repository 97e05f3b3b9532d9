/** What a verification finds, and how each value of it was obtained. */
import {type ErrorCode, ImgtoolError} from '../errors.ts'
import {type ByteString, printable} from '../text.ts'

/**
 * `error`: something does not have the bytes, or the meaning, that it is said to have. `warning`: readers may disagree, or take
 * offence. `note`: odd, as real tools are, and harmless.
 */
export type Severity = 'error' | 'warning' | 'note'

/** What can be found beside the codes of errors, which a verification uses where they fit. */
export const findingCodes = {
  BLOB_ABSENT:
    'an index within the index names what is not in the archive, or a layer is elsewhere, which formats permit',
  BLOB_UNREFERENCED: 'no document leads to a blob',
  DIFF_ID_MISMATCH: 'an uncompressed layer does not have its diffID',
  HISTORY_ABSENT: 'an image does not say how it was made',
  HISTORY_MISMATCH: 'the history has another number of layers than the image',
  IMAGE_ID_MISMATCH: 'a config does not have the image ID that its name says',
  INTEGRITY_MISMATCH: 'the archive itself does not have the integrity that was asked for',
  LAYER_EMPTY: 'a layer has no entry, and not the tar that docker makes of nothing',
  LAYERS_MISMATCH: 'two documents disagree about the layers of an image',
  MEDIA_TYPE_MISMATCH: 'bytes are not what their media type says',
  MEDIA_TYPE_UNKNOWN: 'a media type says nothing about how to read the bytes',
  NAME_MISMATCH: 'two documents disagree about what a name means',
  NAME_REPEATED: 'a name means several images for one platform',
  NAME_UNSHARED: 'one document names an image and another one of the archive does not',
  PARENT_MISMATCH: 'the recorded parent is not the one that the layers say',
  PATH_REPEATED: 'a layer has a path more than once',
  SIZE_CLAIM: 'a v1 document is wrong about the size of its layer',
  V1_ID_MISMATCH: 'a v1 id is not the digest that the tool makes it of',
  V1_ID_UNCHECKED: 'a v1 id is random, or made in an unknown way',
  VERSION_UNKNOWN: 'a version is missing or unknown',
  WHITEOUT_ODD: 'a whiteout is no empty file, or deletes what its own layer adds, too',
  WHITEOUT_UNKNOWN: 'an entry has a name of aufs that nothing is known about',
} as const

export type FindingCode = ErrorCode | keyof typeof findingCodes

/** A value and where it is from: `diff_ids[3] of the config`, `sha256 of the stored bytes`. */
export interface Evidence {
  readonly value: string
  readonly from: string
}

/** Where something was found. */
export interface Place {
  /** Name of the image, or what stands for one: an id, `item 2 of "manifest.json"`. */
  readonly image?: string
  /** Number of the layer in its image, base first, from 0. */
  readonly layer?: number
  /** Member of the archive; bytes as latin1. */
  readonly member?: ByteString
  /** Entry of the layer; bytes as latin1. */
  readonly entry?: ByteString
}

export interface Finding extends Place {
  readonly severity: Severity
  readonly code: FindingCode
  /** One sentence, printable. */
  readonly message: string
  readonly expected?: Evidence
  readonly found?: Evidence
}

/** Findings of one code and severity that are kept; a hostile archive may have millions, and must not hide an error by notes. */
const keptOfOneCode = 1000

/** Collects findings; the same one twice counts once. */
export class Findings {
  readonly #kept = new Map<string, Finding>()
  readonly #counts = new Map<string, number>()
  #omitted = 0

  add(finding: Finding): void {
    const {image: _, layer: __, ...same} = finding
    const key = JSON.stringify(same)
    if (this.#kept.has(key)) return
    const kind = `${finding.code} ${finding.severity}`
    const count = this.#counts.get(kind) ?? 0
    this.#counts.set(kind, count + 1)
    if (count < keptOfOneCode) this.#kept.set(key, finding)
    else this.#omitted++
  }

  /** Adds a refusal of a reader. */
  addError(error: ImgtoolError, place: Place, severity: Severity = 'error'): void {
    this.add({...describeError(error), ...place, severity})
  }

  /**
   * Runs a step; a refusal becomes a finding.
   *
   * @returns undefined when it was refused
   * @throws what is no refusal of data: interruptions, failures of the system, bugs
   */
  async attempt<Result>(place: Place, step: () => Result | Promise<Result>): Promise<Result | undefined> {
    try {
      return await step()
    } catch (error) {
      if (!isAboutData(error)) throw error
      this.addError(error, place)
      return undefined
    }
  }

  has(severity: Severity): boolean {
    return this.list().some((finding) => finding.severity === severity)
  }

  /** In the order in which they were found. */
  list(): readonly Finding[] {
    return [...this.#kept.values()]
  }

  /** How many were found and not kept. */
  get omitted(): number {
    return this.#omitted
  }
}

/** An error in the words of a finding. */
export function describeError({code, message, details}: ImgtoolError): Omit<Finding, 'severity'> {
  const {entry, expected, actual} = details
  return {
    code,
    message: entry === undefined || message.includes(printable(entry)) ? message : `${message} (${printable(entry)})`,
    ...(expected !== undefined && {expected: {value: expected, from: 'what names or describes it'}}),
    ...(actual !== undefined && {found: {value: actual, from: 'what is there'}}),
  }
}

const notAboutData = new Set<ErrorCode>(['INTERRUPTED', 'NO_SPACE', 'PERMISSION_DENIED', 'SYSTEM_ERROR'])

/** Whether an error says something of the archive, and not of this machine or this program. */
export function isAboutData(error: unknown): error is ImgtoolError {
  return error instanceof ImgtoolError && !notAboutData.has(error.code)
}
