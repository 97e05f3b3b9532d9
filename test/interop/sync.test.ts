/** What has to be on the disk before something else is named, as the system calls show. */
import {readFileSync, realpathSync} from 'node:fs'
import {basename, dirname, join, resolve} from 'node:path'
import process from 'node:process'
import test from 'ava'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'

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

/** Converts a fixture, and gives the calls in their order. */
async function traceConvert(source: string, destination: string, sync: boolean): Promise<Call[]> {
  const script = `
    import {convertImages, openSource, parseDestination, selectImages} from ${JSON.stringify(join(root, 'src/index.ts'))}
    await using source = await openSource(${JSON.stringify(join(root, 'fixtures', source))})
    await convertImages(source, selectImages(source), parseDestination(${JSON.stringify(destination)}), {sync: ${sync}})`
  const trace = join(scratch, 'trace')
  const words = [
    '-f',
    '-y',
    '-s',
    '4096',
    '-e',
    'trace=fsync,syncfs,rename,renameat2,link',
    '-o',
    trace,
    process.execPath,
  ]
  await run('strace', [...words, '--input-type=module', '--eval', script])
  return readFileSync(trace, 'utf8').split('\n').flatMap(callOf)
}

/** A call that is told in two lines has its arguments in the first. */
function callOf(line: string): Call[] {
  const [, synced] = /^\d+ +(?:fsync|syncfs)\(\d+<(.*?)>/.exec(line) ?? []
  if (synced !== undefined) return [{synced}]
  const [, from, to] =
    /^\d+ +(?:rename|renameat2|link)\((?:\d+<.*?>, )?"(.*?)", (?:\d+<.*?>, )?"(.*?)"/.exec(line) ?? []
  return from === undefined || to === undefined ? [] : [{from, to}]
}
