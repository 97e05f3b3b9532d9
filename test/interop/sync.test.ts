/** What has to be on the disk before something else is named, as the system calls show. */
import {readFileSync, realpathSync} from 'node:fs'
import {basename, dirname, join, resolve} from 'node:path'
import process from 'node:process'
import test from 'ava'
import {sha256} from '../../src/digest.ts'
import {contentPath, metadataRoot} from '../../src/store/layout.ts'
import {write, writeDataRoot} from '../helpers/data-root.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {file, tar} from '../helpers/tar.ts'

const root = resolve(import.meta.dirname, '../..')
const scratch = realpathSync(makeScratch())
const layout = join(scratch, 'layout')

test.after.always('remove what was converted', () => removeScratch(scratch))

interopTest('a file is on the disk before it gets its name', async (t) => {
  const path = join(scratch, 'file')
  const calls = await traceConvert('skopeo-oci-several.tar', `oci-archive:${path}`, true)
  const [named] = calls.filter(({to}) => to === path)
  t.true(calls.slice(0, calls.indexOf(named!)).some(({synced}) => synced === named!.from))
})

interopTest('a new layout is on the disk before it gets its name', async (t) => {
  const calls = await traceConvert('skopeo-oci-several.tar', `oci:${layout}`, true)
  const named = calls.findIndex(({to}) => to === basename(layout))
  const index = calls.findIndex(({to}) => to?.endsWith('/index.json'))
  t.true(index !== -1 && index < named)
  t.true(calls.slice(index, named).some(({synced}) => synced?.startsWith(`${layout}.imgtool-`)))
})

interopTest(
  'a layout that is added to has files and their names on the disk before its index names them',
  async (t) => {
    const calls = await traceConvert('umoci-oci.tar', `oci:${layout}`, true)
    const placed = calls.filter(({from}) => from !== undefined)
    t.is(placed.at(-1)!.to, join(layout, 'index.json'))
    t.true(placed.length > 3)
    let done = 0
    for (const [number, call] of placed.entries()) {
      const since = calls.slice(done, calls.indexOf(call)).map(({synced}) => synced)
      t.true(since.includes(call.from))
      if (number > 0) t.true(since.includes(dirname(placed[number - 1]!.to!)))
      done += since.length
    }
  },
)

interopTest('a commit is on the disk before it gets its name, in an archive and in a store', async (t) => {
  const [store, id] = [writeStore(), 'a'.repeat(64)]
  const archive = join(scratch, 'committed.tar')
  const calls = await traceCommit(store, id, archive, '--sync')
  const [named] = calls.filter(({to}) => to === archive)
  t.true(calls.slice(0, calls.indexOf(named!)).some(({synced}) => synced === named!.from))
  const stored = await traceCommit(store, id, '--tag', 'committed:1', '--sync')
  const names = stored.findIndex(({to}) => to?.endsWith('/repositories.json'))
  const config = stored.findIndex(({to}) => to?.includes('/imagedb/content/'))
  t.true(config >= 0 && names > config)
  t.true(stored.slice(0, config).some(({synced}) => synced === store))
  t.true(stored.slice(names).some(({synced}) => synced === store))
  const unasked = await traceCommit(store, id, '--tag', 'committed:2')
  t.true(unasked.some(({to}) => to?.endsWith('/repositories.json')))
  t.false(unasked.some(({synced}) => synced === store))
})

/** A data-root with a container. */
function writeStore(): string {
  const [id, layer] = ['a'.repeat(64), tar(file('x'))]
  const store = writeDataRoot(join(scratch, 'store'), 'vfs', [{names: ['app:1'], layers: [layer]}])
  write(join(store, contentPath('vfs', id), 'new'), 'new')
  for (const [name, text] of Object.entries({'mount-id': id, parent: sha256(layer)}))
    write(join(store, metadataRoot('vfs'), 'layerdb/mounts', id, name), text)
  return store
}

function traceCommit(...words: string[]): Promise<Call[]> {
  return trace(join(root, 'bin/run.js'), 'commit', ...words)
}

interopTest('nobody waits for the disk unasked', async (t) => {
  const calls = await traceConvert('skopeo-oci-several.tar', `oci:${join(scratch, 'unasked')}`, false)
  t.true(calls.some(({to}) => to !== undefined))
  t.false(calls.some(({synced}) => synced?.startsWith(scratch)))
})

/** A file or directory that was written to the disk, or one that got another name. */
interface Call {
  readonly synced?: string
  readonly from?: string
  readonly to?: string
}

/** Converts a fixture. */
async function traceConvert(source: string, destination: string, sync: boolean): Promise<Call[]> {
  const script = `
    import {convertImages, openSource, parseDestination, selectImages} from ${JSON.stringify(join(root, 'src/index.ts'))}
    await using source = await openSource(${JSON.stringify(join(root, 'fixtures', source))})
    await convertImages(source, selectImages(source), parseDestination(${JSON.stringify(destination)}), {sync: ${sync}})`
  return trace('--input-type=module', '--eval', script)
}

/** Runs node, and gives the calls in their order. */
async function trace(...words: string[]): Promise<Call[]> {
  const log = join(scratch, 'trace')
  const options = ['-f', '-y', '-s', '4096', '-e', 'trace=fsync,syncfs,rename,renameat2,link', '-o', log]
  await run('strace', [...options, process.execPath, ...words])
  return readFileSync(log, 'utf8').split('\n').flatMap(callOf)
}

/** A call that is told in two lines has its arguments in the first. */
function callOf(line: string): Call[] {
  const [, synced] = /^\d+ +(?:fsync|syncfs)\(\d+<(.*?)>/.exec(line) ?? []
  if (synced !== undefined) return [{synced}]
  const [, from, to] =
    /^\d+ +(?:rename|renameat2|link)\((?:\d+<.*?>, )?"(.*?)", (?:\d+<.*?>, )?"(.*?)"/.exec(line) ?? []
  return from === undefined || to === undefined ? [] : [{from, to}]
}
