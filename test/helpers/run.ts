/** Runs another program for a test and fails with what it said. */
import {execFile} from 'node:child_process'
import {promisify} from 'node:util'

const execute = promisify(execFile)

export interface ProgramOptions {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

/** Standard output as text. */
export async function run(program: string, words: readonly string[], options: ProgramOptions = {}): Promise<string> {
  return (await runBinary(program, words, options)).toString()
}

/** Standard output as bytes, up to 1 GiB. */
export async function runBinary(program: string, words: readonly string[], options: ProgramOptions = {}) {
  const settings = {cwd: options.cwd, env: {...process.env, ...options.env}, maxBuffer: 2 ** 30}
  const {stdout} = await execute(program, words, {...settings, encoding: 'buffer'})
  return stdout
}
