/** Runs imgtool for tests: in this process, or as a user's shell would. */
import {spawn} from 'node:child_process'
import process from 'node:process'
import {fileURLToPath} from 'node:url'
import {runCommand} from '@oclif/test'
import type {ExecutionContext} from 'ava'
import {loadOptions} from '../../src/cli/main.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The executable of this checkout. */
export const bin = fileURLToPath(new URL('../../bin/run.js', import.meta.url))

/**
 * Runs a command in this process, from its source. Captures the output of the whole process, so use `test.serial`.
 */
export async function imgtool(...words: string[]) {
  // @oclif/test joins the words with spaces and splits them again.
  const quoted = words.map((word) => (/\s/.test(word) ? `"${word}"` : word))
  try {
    return await runCommand<Record<string, unknown>>(quoted, loadOptions(root))
  } finally {
    // A failed command sets it, and AVA would then report the whole file as failed.
    process.exitCode = undefined
    // A command counts on the end of its process.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeAllListeners(signal)
  }
}

export interface Run {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** Runs the executable as its own process. */
export function spawnImgtool(words: readonly string[], options: RunOptions = {}): Promise<Run> {
  return spawnProcess(process.execPath, [bin, ...words], options)
}

/** Runs a shell script in which `$IMGTOOL` is the executable. */
export function spawnShell(script: string, options: RunOptions & {words?: readonly string[]} = {}): Promise<Run> {
  const environment = {...options.env, IMGTOOL: `${process.execPath} ${bin}`}
  return spawnProcess('sh', ['-c', script, 'sh', ...(options.words ?? [])], {...options, env: environment})
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: Buffer
}

function spawnProcess(command: string, words: readonly string[], options: RunOptions): Promise<Run> {
  const {promise, resolve, reject} = Promise.withResolvers<Run>()
  const child = spawn(command, words, {cwd: options.cwd, env: {...process.env, ...options.env}})
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk) => stdout.push(chunk))
  child.stderr.on('data', (chunk) => stderr.push(chunk))
  child.on('error', reject)
  child.on('close', (status, signal) => {
    resolve({status, signal, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString()})
  })
  // A command that fails early does not read its input.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  return promise
}

/** Checks that a run said of two archives, on a line each, that the one is not there and the other one is damaged. */
export function checkUnreadable(t: ExecutionContext, stderr: string, [lost, damaged]: readonly [string, string]): void {
  const lines = stderr.trimEnd().split('\n')
  t.is(lines.length, 2)
  t.is(lines[0], `Error: Cannot open "${lost}": no such file or directory`)
  t.true(lines[1]?.endsWith(`(archive ${damaged})`), lines[1])
}
