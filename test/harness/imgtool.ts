/** Starts the executable of this checkout so that a harness can limit it, kill it, and see how it ended. */
import {spawn} from 'node:child_process'
import process from 'node:process'
import {setTimeout as sleep} from 'node:timers/promises'
import {fileURLToPath} from 'node:url'

const bin = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

/** Node and the executable: one process, which a signal reaches without a detour. */
export const imgtool: readonly string[] = [process.execPath, bin]

export interface Ending {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface StartOptions {
  /** Words in front, of a program that runs another one. */
  readonly through?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A signal to send, and when: milliseconds after the start. */
  readonly kill?: {readonly signal: NodeJS.Signals; readonly afterMs: number}
}

/** The environment that makes a run use several threads, or keeps it from that, whatever it unpacks. */
export function threading(threads: boolean): Readonly<Record<string, string>> {
  return {IMGTOOL_THREADS: threads ? '2' : '1'}
}

/** Milliseconds after which a run counts as hanging. */
const hangMs = 120_000

/** Runs one command line to its end. A run that hangs is killed, and its ending says so by the signal SIGABRT. */
export async function runImgtool(words: readonly string[], options: StartOptions = {}): Promise<Ending> {
  const [program, ...rest] = [...(options.through ?? []), ...imgtool, ...words]
  // The compile cache would be written to TMPDIR, which may be a full disk that has to be empty in the end.
  const env = {...process.env, NODE_DISABLE_COMPILE_CACHE: '1', ...options.env}
  const child = spawn(program!, rest, {env, stdio: ['ignore', 'pipe', 'pipe'], timeout: hangMs, killSignal: 'SIGABRT'})
  const {promise, resolve, reject} = Promise.withResolvers<Ending>()
  const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (chunk) => stdout.push(chunk))
  child.stderr.on('data', (chunk) => stderr.push(chunk))
  child.on('error', reject)
  child.on('close', (status, signal) => resolve({status, signal, stdout: text(stdout), stderr: text(stderr)}))
  if (options.kill !== undefined) {
    await sleep(options.kill.afterMs)
    child.kill(options.kill.signal)
  }
  return promise
}

/** How a run ended, for a message. */
export function describeEnding({status, signal, stderr}: Ending): string {
  return `${signal ?? `exit ${status}`} ${JSON.stringify(stderr.slice(0, 300))}`
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString()
}
