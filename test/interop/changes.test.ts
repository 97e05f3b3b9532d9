/** What containers have changed, by imgtool of a data-root whose dockerd is stopped: the same as `docker diff` said and `docker commit` made. */
import {createHash} from 'node:crypto'
import {mkdtempSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {listMounts} from '../../src/driver/mounts.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {startDockerd} from '../helpers/dockerd.ts'
import {dockerMembers, tarOf} from '../helpers/image.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {compareTrees, scanTree, type Tree} from '../helpers/scan-tree.ts'
import {directory, file, symlink, tar} from '../helpers/tar.ts'

const scratch = makeScratch()

test.after.always('clean up', () => removeScratch(scratch))

const applets = ['sh', 'chmod', 'chown', 'ln', 'mkdir', 'mv', 'rm', 'rmdir', 'touch', 'cat']
const base = tar(
  directory('bin/'),
  file('bin/busybox', readFileSync('/bin/busybox').toString('latin1'), {mode: 0o755}),
  ...applets.map((name) => symlink(`bin/${name}`, 'busybox')),
  ...['etc', 'gone', 'moved', 'replaced', 'emptied', 'deep/a/b'].map((name) => directory(`${name}/`)),
  ...['etc/changed', 'etc/same', 'etc/mode', 'gone/x', 'moved/x', 'replaced/x', 'emptied/x'].map((name) =>
    file(name, name),
  ),
  file('deep/a/b/c', 'deep'),
  file('file', 'becomes a directory'),
  file('linked', 'linked'),
  symlink('link', 'etc'),
)
const top = tar(file('.wh.link'), directory('etc/'), file('etc/changed', 'by the top'), file('etc/new', 'new'))

const script = [
  'echo added > /etc/added; echo more >> /etc/changed; chmod 600 /etc/mode; chown 7:8 /etc/new',
  'rm -r /gone; mv /moved /renamed; rm -r /replaced; echo x > /replaced',
  'rm /file; mkdir /file; touch /file/x; ln /linked /other; rm -r /emptied; mkdir /emptied',
  'touch /deep/a/b/c; mkdir -p /new/er/est; rm /etc/same; ln -s a /new/link',
].join('; ')

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`changes of containers and images of ${driver} are those of docker diff`, async (t) => {
    const dockerd = await startDockerd(join(scratch, driver), driver)
    const truth: Record<string, string[]> = {}
    try {
      await dockerd.docker('load', '--input', writeImage())
      await dockerd.docker('run', '--network=none', '--name', 'busy', 'app:1', '/bin/sh', '-c', script)
      await dockerd.docker('create', '--name', 'idle', 'app:1', '/bin/sh')
      for (const name of ['busy', 'idle']) truth[name] = linesOf(await dockerd.docker('diff', name))
      truth.id = [(await dockerd.docker('inspect', '--format', '{{.Id}}', 'busy')).trim()]
      await dockerd.docker('commit', '--pause=false', 'busy', 'theirs:1')
    } finally {
      await dockerd.stop()
    }
    t.true(truth.busy!.length > 20)
    t.deepEqual(await changes(t, dockerd.dataRoot, 'busy'), truth.busy)
    t.deepEqual(await changes(t, dockerd.dataRoot, 'idle'), truth.idle)
    t.deepEqual(await changes(t, dockerd.dataRoot, truth.id[0]!.slice(0, 12)), truth.busy)
    t.deepEqual(await changes(t, dockerd.dataRoot, 'app:1'), ['A /etc/new', 'C /etc', 'C /etc/changed', 'D /link'])
    await showsContainer(t, dockerd.dataRoot, driver)
    const archive = join(scratch, `${driver}-ours.tar`)
    await imgtool(t, 'commit', dockerd.dataRoot, 'busy', archive, '--tag', 'ours:archive', '--message', 'rescued')
    await imgtool(t, 'verify', archive)
    await imgtool(t, 'commit', dockerd.dataRoot, 'busy', '--tag', 'ours:1')
    const theirs = await unpack(t, `docker-root:${dockerd.dataRoot}:theirs:1`)
    for (const image of [archive, `docker-root:${dockerd.dataRoot}:ours:1`])
      t.deepEqual(compareTrees(await unpack(t, image), theirs), [])
    const again = await startDockerd(join(scratch, driver), driver)
    try {
      const words = ['--network=none', '--rm', '--entrypoint', '/bin/cat', 'ours:1', '/etc/changed']
      t.is(await again.docker('run', ...words), 'by the topmore\n')
      const of = async (name: string) =>
        JSON.parse(await again.docker('inspect', '--format', '{{json .Config}}', name)) as object
      t.deepEqual(await of('ours:1'), await of('theirs:1'))
    } finally {
      await again.stop()
    }
  })
}

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`containers of imgtool, and of ${driver} without an image, become images that docker runs`, async (t) => {
    const directory = join(scratch, `own-${driver}`)
    const target = mkdtempSync(join(scratch, 'own-mount-'))
    const recipes = ['one', 'two'].map((name) => ({
      names: [`${name}:1`],
      layers: [base, top],
      config: {config: {Cmd: ['/bin/cat', '/etc/changed'], Env: [`NAME=${name}`]}},
    }))
    const archive = join(scratch, `own-${driver}.tar`)
    writeFileSync(archive, tarOf(dockerMembers(recipes)))
    const first = await startDockerd(directory, driver)
    try {
      await first.docker('load', '--input', archive)
      await first.docker('create', '--network=none', '--name', 'theirs', 'one:1')
    } finally {
      await first.stop()
    }
    const {status, stdout, stderr} = await spawnImgtool([
      ...['mount', 'two:1', target, '--store', first.dataRoot, '--read-write'],
    ])
    t.is(status, 0, stderr)
    const id = stdout.toString().trim()
    writeFileSync(join(target, 'etc/changed'), 'ours')
    const again = await startDockerd(directory, driver)
    try {
      for (const flags of [[], ['--remove']]) {
        const refused = await spawnImgtool(['umount', target, ...flags])
        t.regex(refused.stderr, /a docker daemon runs on it\nHint: Stop it first\n/)
      }
      t.regex(await again.docker('ps', '--all'), /theirs/)
      await again.docker('rmi', '--force', 'one:1')
    } finally {
      await again.stop()
    }
    await imgtool(t, 'umount', target)
    t.deepEqual(listMounts(first.dataRoot), [])
    await imgtool(t, 'commit', first.dataRoot, id, '--tag', 'ours:1')
    await imgtool(t, 'commit', first.dataRoot, 'theirs', '--tag', 'rescued:1')
    const last = await startDockerd(directory, driver)
    try {
      for (const [name, text, image] of [
        ['ours:1', 'ours', 'two'],
        ['rescued:1', 'by the top', 'one'],
      ] as const) {
        t.is(await last.docker('run', '--network=none', '--rm', name), text)
        t.true((await last.docker('inspect', '--format', '{{json .Config.Env}}', name)).includes(`NAME=${image}`))
        const steps = await last.docker('history', '--no-trunc', '--format', '{{.CreatedBy}}', name)
        t.is(steps.split('\n')[0], '/bin/cat /etc/changed')
      }
    } finally {
      await last.stop()
    }
  })
}

/** A container that docker made is mounted, and goes on there. */
async function showsContainer(t: ExecutionContext, store: string, driver: string): Promise<void> {
  const target = mkdtempSync(join(scratch, 'mount-'))
  for (const flags of [[], ['--read-write']]) {
    await imgtool(t, 'mount', 'busy', target, '--store', store, ...flags)
    t.is(readFileSync(join(target, 'etc/added'), 'latin1'), 'added\n')
    const {status, stderr} = await spawnImgtool(['umount', '--remove', target])
    t.is(status, 1)
    t.regex(stderr, flags.length > 0 || driver === 'vfs' ? /it is one of docker/ : /nothing can be written there/)
    await imgtool(t, 'umount', target)
  }
  t.deepEqual(listMounts(store), [])
}

function writeImage(): string {
  const bytes = tarOf(dockerMembers([{names: ['app:1'], layers: [base, top]}]))
  const path = join(scratch, `${createHash('sha256').update(bytes).digest('hex')}.tar`)
  writeFileSync(path, bytes)
  return path
}

/** docker lists them in no order. */
function linesOf(text: string): string[] {
  return text.trim().split('\n').filter(Boolean).toSorted()
}

async function imgtool(t: ExecutionContext, ...words: string[]): Promise<void> {
  const {status, stderr} = await spawnImgtool(words)
  t.is(status, 0, stderr)
}

let trees = 0

/** With times as dockerd commits them: whole seconds. */
async function unpack(t: ExecutionContext, image: string): Promise<Tree> {
  const target = join(scratch, `tree-${trees++}`)
  await imgtool(t, 'unpack', image, target)
  const second = 1_000_000_000n
  const tree = scanTree(target)
  return new Map(
    [...tree].map(([path, entry]) => [path, {...entry, mtimeNs: entry.mtimeNs - (entry.mtimeNs % second)}]),
  )
}

async function changes(t: ExecutionContext, root: string, name: string): Promise<string[]> {
  const {status, stdout, stderr} = await spawnImgtool(['changes', root, name])
  t.is(status, 0, stderr)
  return linesOf(stdout.toString())
}
