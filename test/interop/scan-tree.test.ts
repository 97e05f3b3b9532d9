/** The scanner that the tree tests rely on must notice every kind of difference. */
import {join} from 'node:path'
import test from 'ava'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees, scanTree} from '../helpers/scan-tree.ts'

const scratch = makeScratch()
const original = join(scratch, 'original')

test.after.always('remove the scratch folder', () => removeScratch(scratch))

interopTest('a copy has no differences, and every change to one is found', async (t) => {
  await make()
  t.deepEqual(compareTrees(scanTree(original), scanTree(await copy())), [])
  for (const [change, found] of changes) {
    const changed = await copy()
    await run('sh', ['-euc', change], {cwd: changed})
    const differences = compareTrees(scanTree(original), scanTree(changed))
    t.true(
      differences.some((line) => line.includes(found)),
      `${change}: ${differences.join('; ')}`,
    )
  }
})

/** A backslash, a newline and a byte that is not UTF-8, for the shell. */
const oddName = String.raw`$(printf 'd/o\\\n\351')`

const changes = [
  ['rm d/file', '"d/file": only in the first tree'],
  ['mkdir new', '"new": only in the second tree'],
  ['rm d/file && mkfifo d/file', '"d/file": type file is not fifo'],
  ['chmod 4755 d/file', '"d/file": mode 644 is not 4755'],
  ['chown 4294967294 d', '"d": uid 0 is not 4294967294'],
  ['chown :7 d', '"d": gid 0 is not 7'],
  ['touch -d "2020-01-01 00:00:00.000000001 UTC" d/file', 'not 1577836800000000001'],
  ['touch -h -d "1969-01-01 00:00:00 UTC" link', 'not -31536000000000000'],
  ['printf y >d/file', '"d/file": sha256'],
  ['printf yy >d/file', '"d/file": size 1 is not 2'],
  ['ln -sfn elsewhere link', '"link": target d is not elsewhere'],
  ['rm null && mknod null c 1 5', '"null": device 259 is not 261'],
  ['setfattr -n user.x -v 1 d/file', '"d/file": xattrs user.note=0x00ff is not user.note=0x00ff,user.x=0x31'],
  ['setfattr -x user.note d/file', '"d/file": xattrs'],
  ['setcap cap_net_raw+ep d/file', 'security.capability='],
  ['setfattr -h -n trusted.x -v 1 link', '"link": xattrs'],
  ['cp -p hard-1 copy && mv copy hard-1', '"hard-1": hardLinks hard-1,hard-2 is not'],
  [`setfattr -x user.note "${oddName}"`, `${JSON.stringify('d/o\\\n\xe9')}: xattrs user.note=0x6f6464 is not `],
] as const

async function make(): Promise<void> {
  const script = `mkdir -p original/d && cd original && printf x >d/file && ln -s d link && mknod null c 1 3
    echo hard >hard-1 && ln hard-1 hard-2 && setfattr -n user.note -v 0x00ff d/file
    : >"${oddName}" && setfattr -n user.note -v odd "${oddName}"`
  await run('sh', ['-euc', script], {cwd: scratch})
}

let count = 0

async function copy(): Promise<string> {
  count += 1
  const target = join(scratch, `copy-${count}`)
  await run('cp', ['-a', original, target])
  return target
}
