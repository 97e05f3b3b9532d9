import {execFileSync} from 'node:child_process'
import {chmodSync, readdirSync, readFileSync} from 'node:fs'
import {dirname, join} from 'node:path'
import process from 'node:process'
import test, {type ExecutionContext} from 'ava'
import {sha256} from '../../src/digest.ts'
import {bin} from '../helpers/cli.ts'
import {dockerMembers, layerOf, scratch, tarOf, writeScratch} from '../helpers/image.ts'
import {run} from '../helpers/run.ts'
import {nobody} from '../helpers/without-root.ts'

const moduleOf = (name: string) => new URL(`../../src/${name}`, import.meta.url).href

/** Has a thread of digests, and nothing else that keeps it going. */
const scriptOf = (then: string) => `
  import {RingThread} from '${moduleOf('thread/worker.ts')}'
  import {Ring} from '${moduleOf('thread/ring.ts')}'
  import {orderSize} from '${moduleOf('layer/hash-orders.ts')}'
  const ring = new Ring(16, orderSize, () => 0)
  const memory = {chunks: new SharedArrayBuffer(8), digests: new SharedArrayBuffer(8)}
  const thread = new RingThread('${moduleOf('layer/hash-worker')}', ring, memory)
  ${then}
  await thread.settled
  console.log(ring.isServed ? 'served' : 'not served')
  await thread.close()
  console.log('closed')
`

test('a process that has nothing else to do waits for a thread to start and to end', async (t) => {
  t.is(await run(process.execPath, [writeScratch(t, scriptOf(''), 'script.mjs')]), 'served\nclosed\n')
})

test('a process that has nothing else to do waits for a thread that it has given up', async (t) => {
  const script = scriptOf('ring.abandon()')
  t.is(await run(process.execPath, [writeScratch(t, script, 'script.mjs')]), 'not served\nclosed\n')
})

test('a process waits for the end of a thread that has broken down, too', async (t) => {
  const unknown = `
    await thread.settled
    // It may break down before it is looked at again.
    if (!ring.isServed) console.log('not begun')
    ring.records.words.fill(9)
    ring.next()
    ring.give(true)
    try {
      ring.drain()
    } catch (error) {
      console.log(error.message)
    }
  `
  const said = 'a thread has ended before its work\nserved\nclosed\n'
  for (let time = 0; time < 5; time++)
    t.is(await run(process.execPath, [writeScratch(t, scriptOf(unknown), 'script.mjs')]), said)
})

/** What Node is told when it may not start threads. */
const forbidden = ['--permission', '--allow-fs-read=*', '--allow-fs-write=*', '--allow-addons']

/** Leaves no room for threads beside those that Node itself needs. Limits do not hold for root. */
const limit = `
  import {execFileSync} from 'node:child_process'
  import {stat} from 'node:fs/promises'
  await stat('/')
  if (process.getuid() === 0) {
    process.setgroups([])
    process.setgid(${nobody})
    process.setuid(${nobody})
  }
  execFileSync('prlimit', ['--pid=' + process.pid, '--nproc=1'])
`
const limited = ['--import', `data:text/javascript,${encodeURIComponent(limit)}`]

/** Whether Node cannot start a thread when it is told this. */
function hasNoThread(options: readonly string[]): boolean {
  const attempt = "try { new (require('node:worker_threads').Worker)('', {eval: true}) } catch { console.log('none') }"
  try {
    return execFileSync(process.execPath, [...options, '-e', attempt], {stdio: 'pipe'}).includes('none')
  } catch {
    return false
  }
}

/** Commands that start threads, each with where its result goes. */
const commands: readonly (readonly [words: readonly string[], result?: string])[] = [
  [['convert', '--compression=gzip', '--threads=2'], 'new.tar'],
  [['convert', '--compression=zstd', '--threads=2'], 'oci:new'],
  [['squash', '--compression=gzip', '--threads=2'], 'new.tar'],
  [['export'], 'new.tar.gz'],
  [['unpack', '--threads=2'], 'root'],
  [['verify']],
]

/** Runs all commands on an image that is worth threads. @returns what they make, by digests; nothing else may be said */
async function resultsWith(t: ExecutionContext, options: readonly string[]): Promise<string[][]> {
  const image = writeScratch(t, tarOf(dockerMembers([{layers: [large('a'), large('b')]}])))
  chmodSync(dirname(image), 0o755)
  const results: string[][] = []
  for (const [[command = '', ...flags], result] of commands) {
    const folder = scratch(t)
    chmodSync(folder, 0o777)
    const words = [command, ...flags, '--quiet', image, ...(result === undefined ? [] : [result])]
    await run(process.execPath, [...options, '--no-warnings', bin, ...words], {cwd: folder})
    results.push([command, ...flags, ...digestsIn(folder)])
  }
  return results
}

const large = (name: string) => layerOf(name, `what is in ${name}, `.repeat(400_000))

function digestsIn(folder: string): string[] {
  const entries = readdirSync(folder, {recursive: true, withFileTypes: true})
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return files.toSorted().map((file) => `${file.slice(folder.length)} ${sha256(readFileSync(file))}`)
}

const places: readonly (readonly [string, readonly string[]])[] = [
  ['forbids threads', forbidden],
  ['has no room for a thread', limited],
]
const here = places.filter(([, options]) => hasNoThread(options))

for (const [what] of places.filter((place) => !here.includes(place))) {
  test.skip(`no system here ${what}`, () => {})
}

test('every command has the same result where no thread can be had', async (t) => {
  const expected = await resultsWith(t, [])
  for (const [what, options] of here) t.deepEqual(await resultsWith(t, options), expected, what)
})
