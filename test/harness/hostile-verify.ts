/** Runs `imgtool verify` over hostile archives, many at a time: it must end, and say of each what the case leaves no choice about. */
import {spawnSync} from 'node:child_process'
import {join} from 'node:path'
import {imgtool} from './imgtool.ts'

/** The part of a case that matters here. */
export interface VerifiedCase {
  readonly id: string
  readonly cat: string
  readonly expect: string
  /** Other outcomes that are safe, too. */
  readonly alt?: readonly string[]
  /** By wrapping: the archive, or the archives of which the first counts. */
  readonly files: Readonly<Record<string, string | readonly string[]>>
}

export interface VerifiedRow {
  readonly id: string
  readonly wrap: string
  readonly problems: readonly string[]
}

/** What only a tree shows, of which `verify` makes none; `unpack` refuses it. */
const onlyInTree = ['hardlink', 'name', 'symlink']
const wraps = ['docker', 'legacy', 'oci', 'image']
/** Archives that one process verifies: to start costs as much as some twenty of them. */
const together = 100
const hangMs = 120_000

/** @param folder of the archives @param env has a TMPDIR that what is hostile may fill */
export function verifyCases(cases: readonly VerifiedCase[], folder: string, env: NodeJS.ProcessEnv): VerifiedRow[] {
  const all = cases.flatMap((one) => {
    const known = wraps.filter((wrap) => one.files[wrap] !== undefined)
    return known.map((wrap) => ({one, wrap, archive: join(folder, [one.files[wrap]!].flat()[0]!)}))
  })
  const words = all.map(({archive}) => archive)
  const batches = Array.from({length: Math.ceil(words.length / together)}, (_, at) =>
    words.slice(at * together, (at + 1) * together),
  )
  const statuses = batches.flatMap((batch) => verify(batch, env))
  return all.map(({one, wrap}, at) => ({id: one.id, wrap, problems: judge(one, statuses[at]!)}))
}

/** @returns of each archive `sound`, `wrong` or `unreadable`, or how a process with it alone ended that had to say that */
function verify(archives: readonly string[], env: NodeJS.ProcessEnv): string[] {
  const [program, ...words] = [...imgtool, 'verify', '--json', ...archives]
  const options = {env, encoding: 'utf8', timeout: hangMs, killSignal: 'SIGABRT', maxBuffer: 2 ** 30} as const
  const {status, signal, stdout, stderr} = spawnSync(program!, words, options)
  const isEnded = [0, 1, 3].includes(status ?? -1) && stderr === ''
  const said: {archives?: {status: string}[]; error?: object} | undefined = isEnded ? parse(stdout) : undefined
  if (said?.archives?.length === archives.length) return said.archives.map((one) => one.status)
  if (archives.length === 1)
    return [status === 1 && said?.error ? 'unreadable' : `${signal ?? `exit ${status}`} ${stderr}`]
  const half = Math.ceil(archives.length / 2)
  return [...verify(archives.slice(0, half), env), ...verify(archives.slice(half), env)]
}

function judge({cat, expect, alt = []}: VerifiedCase, status: string): string[] {
  if (!['sound', 'wrong', 'unreadable'].includes(status)) return [`ended with ${status}`]
  if (alt.length > 0) return []
  if (expect === 'accept' && status !== 'sound') return [`${status}, must be sound`]
  if (expect === 'reject' && status === 'sound' && !onlyInTree.includes(cat)) return ['sound, must be refused']
  return []
}

function parse(document: string) {
  try {
    return JSON.parse(document)
  } catch {
    return undefined
  }
}
