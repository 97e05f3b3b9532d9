/** Runs one command line: where the commands are, and what happens to an error that no command reported. */
import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import process from 'node:process'
import {setFlagsFromString} from 'node:v8'
import {Errors, flush, run, settings} from '@oclif/core'
import {formatJSON} from '../view/json.ts'
import {reportError, wantsDebug, wantsJSON} from './report.ts'

/** Whether this file is TypeScript, as in a checkout, or was built. */
const fromSource = import.meta.filename.endsWith('.ts')

/**
 * Runs a command line, and ends the process if it fails.
 *
 * @param root the package's directory
 * @param words the command line without node and script
 */
export async function main(root: string, words: readonly string[]): Promise<void> {
  // Entries live for a moment: room for more of them makes the process three times as large, and no faster.
  setFlagsFromString('--semi-space-growth-factor=1')
  try {
    await run(expandWord(words), loadOptions(root))
    await flush()
  } catch (error) {
    // Commands report their own errors and leave only an exit code to do.
    if (error instanceof Errors.ExitError) process.exit(error.oclif.exit ?? 1)
    const report = reportError(error, {debug: wantsDebug(words)})
    if (wantsJSON(words)) process.stdout.write(`${formatJSON(report.json)}\n`)
    else process.stderr.write(report.text)
    process.exit(report.exitCode)
  }
}

/**
 * What oclif needs to run commands of `root`: in a checkout the commands' source, and never a manifest left by a build; no
 * plugins of the user, so that nothing is read in a home directory, which may not even be theirs.
 */
export function loadOptions(root: string): {root: string; userPlugins: false; ignoreManifest?: boolean; pjson?: never} {
  // oclif would look for ts-node; Node strips types by itself.
  settings.enableAutoTranspile = false
  if (!fromSource) return {root, userPlugins: false}
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const {oclif} = manifest
  const pjson = {...manifest, oclif: {...oclif, commands: sourcePath(oclif.commands), hooks: sourceHooks(oclif.hooks)}}
  return {root, userPlugins: false, ignoreManifest: true, pjson: pjson as never}
}

/** `imgtool help tree` and `imgtool version` are what users of docker and git type first. */
function expandWord([first, ...rest]: readonly string[]): string[] {
  if (first === undefined) return []
  if (first === 'help') return [...rest, '--help']
  return [/^(?:-v|-V|version)$/.test(first) ? '--version' : first, ...rest]
}

function sourceHooks(hooks: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(hooks).map(([event, path]) => [event, sourcePath(path)]))
}

function sourcePath(built: string): string {
  return built.replace(/^\.\/dist\//, './').replace(/\.js$/, '.ts')
}
