/**
 * Runs `imgtool unpack` over the hostile archives of `shared/hostile`, as root, with threads, and as somebody without privileges,
 * on a small file system of their own, because some declare sizes of exabytes; and `imgtool verify`, as root.
 *
 *     npm run test:hostile -- [--all] [--hostile DIRECTORY]
 */
import {spawnSync} from 'node:child_process'
import {chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync} from 'node:fs'
import {join, resolve} from 'node:path'
import process from 'node:process'
import {parseArgs} from 'node:util'
import {Disk, requireRoot} from '../helpers/disk.ts'
import {type VerifiedCase, verifyCases} from './hostile-verify.ts'
import {imgtool} from './imgtool.ts'
import {Tally} from './tally.ts'
import {type HostileCase, withoutPrivileges} from './unprivileged-cases.ts'

const GiB = 1024 ** 3

/** What the runner reports of each archive. */
interface Row {
  readonly id: string
  readonly wrap: string
  readonly outcome: string
  /** Why it is not what the case allows; null where it is. */
  readonly why: string | null
}

interface Identity {
  readonly name: string
  /** Words before the runner, which has to see everything that it compares. */
  readonly runner: readonly string[]
  /** Words before the command that it runs. */
  readonly command: readonly string[]
}

const {values} = parseArgs({
  options: {
    /** With threads and without privileges, too, every archive in every wrapping. */
    all: {type: 'boolean', default: process.env.IMGTOOL_HOSTILE === 'all'},
    hostile: {type: 'string', default: resolve(import.meta.dirname, '../../../shared/hostile')},
  },
})

const root: Identity = {name: 'root', runner: [], command: []}
const threaded: Identity = {name: 'root with threads', runner: [], command: ['env', 'IMGTOOL_THREADS=2']}
const nobody: Identity = {
  name: 'nobody',
  runner: [
    ...['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups'],
    ...capabilities('+dac_override,+fowner'),
  ],
  command: ['setpriv', ...capabilities('-all')],
}

requireRoot('test:hostile')
// Not in /tmp, which is another one for the runner.
using disk = new Disk({size: GiB, folder: '/var/tmp'})
using store = new Disk({size: GiB, folder: '/var/tmp'})
main()

function main(): void {
  if (!existsSync(values.hostile)) throw new Error(`there are no hostile archives in ${values.hostile}`)
  start(['tar', '--zstd', '-C', store.path, '-xf', join(values.hostile, 'cases.tar.zst')])
  const tally = new Tally()
  const some = values.all ? [] : ['--wrap', 'docker', '--wrap', 'image']
  tellVerdicts(tally)
  tellOutcomes(root, runCases(root, []), tally)
  tellOutcomes(threaded, runCases(threaded, some), tally)
  adaptCases()
  tellOutcomes(nobody, runCases(nobody, some), tally)
  tally.finish()
}

function runCases({name, runner, command}: Identity, options: readonly string[]): Row[] {
  // What does not even start refuses everything.
  start([...runner, ...command, ...imgtool, '--version'])
  const report = join(makeFolder(`${name}-report`), 'report.json')
  const words = [...command, ...imgtool, 'unpack', '{archive}', '{target}']
  const run = [join(values.hostile, 'run.py'), '--cases', store.path, '--json', report, ...options, '--', ...words]
  // Escapes are watched for in /tmp as well, by a fixed name: with a /tmp of its own no run disturbs another one.
  const isolated = ['--mount', 'sh', '-c', 'mount --bind "$0" /tmp && exec "$@"', makeFolder(`${name}-tmp`)]
  const env = {...process.env, TMPDIR: makeFolder(name), PYTHONDONTWRITEBYTECODE: '1'}
  // Its status only says that something failed, and what it prints of a failure the report has as well.
  spawnSync('unshare', [...isolated, ...runner, 'python3', ...run], {env, stdio: ['ignore', 'ignore', 'inherit']})
  return JSON.parse(readFileSync(report, 'utf8'))
}

function tellOutcomes({name}: Identity, rows: readonly Row[], tally: Tally): void {
  for (const {id, wrap, outcome, why} of rows)
    tally.add(`${id} (${wrap}) as ${name}`, why === null ? [] : [`${outcome}: ${why}`])
  process.stdout.write(`as ${name}: ${rows.length} archives\n`)
}

function tellVerdicts(tally: Tally): void {
  const rows = verifyCases(readCases<VerifiedCase>().cases, store.path, {...process.env, TMPDIR: makeFolder('verify')})
  for (const {id, wrap, problems} of rows) tally.add(`${id} (${wrap}) verified`, problems)
  process.stdout.write(`verified: ${rows.length} archives\n`)
}

function readCases<Case>(): {readonly cases: readonly Case[]} {
  return JSON.parse(readFileSync(join(store.path, 'cases.json'), 'utf8'))
}

/** Replaces what is expected by what is expected without privileges. */
function adaptCases(): void {
  const list = readCases<HostileCase>()
  writeFileSync(join(store.path, 'cases.json'), JSON.stringify({...list, cases: list.cases.map(withoutPrivileges)}))
}

/** A folder for everybody, whatever the umask. */
function makeFolder(name: string): string {
  const path = join(disk.path, name)
  mkdirSync(path)
  chmodSync(path, 0o1777)
  return path
}

function capabilities(changes: string): string[] {
  return ['--inh-caps', changes, '--ambient-caps', changes]
}

function start([program, ...words]: readonly string[]): void {
  const {status, error} = spawnSync(program!, words, {stdio: ['ignore', 'ignore', 'inherit']})
  if (status !== 0) throw new Error(`${program} ended with ${status}`, {cause: error})
}
