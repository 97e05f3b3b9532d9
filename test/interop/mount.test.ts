/** Layers in the forms of overlay and aufs are mounted, and the tree is what the layers say. */
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, unlinkSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import test from 'ava'
import {aufsDialect, type Dialect, overlayDialect} from '../../src/driver/dialect.ts'
import {mountAufs} from '../../src/driver/mount-aufs.ts'
import {mountOverlay, type OverlayMount} from '../../src/driver/mount-overlay.ts'
import {isMounted, listMounts, unmount} from '../../src/driver/mounts.ts'
import {spawnImgtool} from '../helpers/cli.ts'
import {Disk} from '../helpers/disk.ts'
import {deletions, type HandMadeLayer, readTree, writeLayers} from '../helpers/hand-made-layers.ts'
import {interopTest} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'

const inNamespace = fileURLToPath(new URL('mount-in-namespace.ts', import.meta.url))
const overlay = overlayDialect('trusted')

let disk: Disk | undefined

test.after.always('unmount everything', () => {
  if (disk === undefined) return
  for (const {point} of listMounts(disk.path).toReversed()) if (point !== disk.path) unmount(point)
  disk[Symbol.dispose]()
})

/** Folders of a test, on a file system that has every kind of attribute. */
function newFolders() {
  disk ??= new Disk({size: 256 << 20, inodes: 60_000})
  const folder = join(disk.path, String(readdirSync(disk.path).length))
  const at = (name: string) => {
    const path = join(folder, name)
    mkdirSync(path, {recursive: true})
    return path
  }
  return {target: at('target'), upper: at('upper'), work: at('work'), layers: at('layers'), at}
}

type Mount = Omit<OverlayMount, 'userxattr'>

const drivers: readonly {readonly name: string; readonly dialect: Dialect; readonly mount: (mount: Mount) => void}[] = [
  {name: 'overlay', dialect: overlay, mount: (mount) => mountOverlay({...mount, userxattr: false})},
  {
    name: 'overlay by one string',
    dialect: overlay,
    mount: (mount) => mountOverlay({...mount, userxattr: false}, false),
  },
  {name: 'aufs', dialect: aufsDialect, mount: (mount) => void mountAufs(mount)},
]

/** Mounts, looks, and unmounts. */
function see<Seen>(mount: (mount: Mount) => void, how: Mount, look: (target: string) => Seen): Seen {
  mount(how)
  try {
    return look(how.target)
  } finally {
    unmount(how.target)
  }
}

for (const {name, dialect, mount} of drivers) {
  interopTest(`${name}: deletions, opaque directories, and what takes the place of something else`, (t) => {
    const {target, layers} = newFolders()
    const lowers = writeLayers(layers, dialect, deletions.layers)
    t.deepEqual(see(mount, {lowers, target}, readTree), deletions.tree)
    t.false(isMounted(target))
    t.deepEqual(readdirSync(target), [])
  })

  interopTest(`${name}: the root may be opaque`, (t) => {
    const {target, layers} = newFolders()
    const lowers = writeLayers(layers, dialect, [{files: {old: '0'}}, {files: {new: '1'}, opaque: ['.']}])
    t.deepEqual(see(mount, {lowers, target}, readTree), ['new=1'])
  })

  interopTest(`${name}: a layer mounts alone, and its deletions are not seen`, (t) => {
    const {target, layers} = newFolders()
    const lowers = writeLayers(layers, dialect, [{files: {'a/b': '0'}, removed: ['nothing'], opaque: ['c']}])
    t.deepEqual(see(mount, {lowers, target}, readTree), ['a/', 'a/b=0', 'c/'])
  })

  interopTest(`${name}: without an upper directory nothing can be written`, (t) => {
    const {target, layers} = newFolders()
    const lowers = writeLayers(layers, dialect, [{files: {a: '0'}}, {files: {b: '1'}}])
    see(mount, {lowers, target}, () => {
      t.throws(() => writeFileSync(join(target, 'new'), ''), {code: 'EROFS'})
      t.throws(() => unlinkSync(join(target, 'a')), {code: 'EROFS'})
    })
  })

  interopTest(`${name}: what is written is in the upper directory, and is seen when that is a layer`, (t) => {
    const {target, layers, upper, work} = newFolders()
    const lowers = writeLayers(layers, dialect, deletions.layers)
    const before = lowers.map(listAll)
    const written = see(mount, {lowers, upper, work, target}, () => {
      writeFileSync(join(target, 'kept'), '3')
      writeFileSync(join(target, 'gone'), '3')
      rmSync(join(target, 'partly'), {recursive: true})
      rmSync(join(target, 'opaque'), {recursive: true})
      mkdirSync(join(target, 'opaque'))
      return readTree(target)
    })
    t.deepEqual(lowers.map(listAll), before)
    const expected = deletions.tree.filter((line) => !/^(?:opaque\/.|partly|kept)/.test(line))
    t.deepEqual(written, [...expected, 'gone=3', 'kept=3'].toSorted())
    t.deepEqual(see(mount, {lowers: [upper, ...lowers], target}, readTree), written)
  })

  interopTest(`${name}: directories may have names that mean something in options`, (t) => {
    const {target, at} = newFolders()
    const odd = ['a:b', 'a,b', 'a\\b', 'a=b', 'a b', 'a"b', '\\,:', 'é', 'long-'.repeat(50)].map((directory, index) => {
      writeFileSync(join(at(directory), `file-${index}`), '')
      return at(directory)
    })
    // The one name that fuse-overlayfs has no way to be told.
    const upper = at(name === 'aufs' ? 'up,per\\' : 'up,p:er\\')
    const how = {lowers: odd, upper, work: at('wo,r:k\\'), target: at('tar,g:et \\')}
    see(mount, how, () => {
      t.is(readdirSync(how.target).length, odd.length)
      writeFileSync(join(how.target, 'new'), '')
    })
    t.true(existsSync(join(how.upper, 'new')))
    t.deepEqual(readdirSync(target), [])
  })

  interopTest(`${name}: 128 layers mount`, (t) => {
    const {target, layers} = newFolders()
    const lowers = writeLayers(layers, dialect, manyLayers(128))
    t.deepEqual(see(mount, {lowers, target}, readTree), treeOfMany(128))
  })
}

for (const {name, dialect, mount} of drivers.filter((driver) => driver.name !== 'overlay by one string')) {
  interopTest(`${name}: 400 layers mount, whose names no page of options holds`, (t) => {
    const {target, at} = newFolders()
    const lowers = writeLayers(at('layers'.repeat(20)), dialect, manyLayers(400))
    t.true(lowers.join(':').length > 50_000)
    t.deepEqual(see(mount, {lowers, target}, readTree), treeOfMany(400))
  })
}

interopTest('overlay by one string: 400 layers are refused in one line, and nothing is mounted', (t) => {
  const {target, layers} = newFolders()
  const lowers = writeLayers(layers, overlay, manyLayers(400))
  const error = t.throws(() => mountOverlay({lowers, target, userxattr: false}, false), {code: 'LIMIT_EXCEEDED'})
  t.regex(error?.message ?? '', /^Cannot mount 400 layers on ".*": this kernel reads 4095 bytes of options/)
  t.false(isMounted(target))
})

interopTest('overlay: as many layers mount as it stacks, and one more is refused', (t) => {
  const {target, layers} = newFolders()
  const lowers = writeLayers(layers, overlay, manyLayers(501))
  t.throws(() => mountOverlay({lowers, target, userxattr: false}), {code: 'LIMIT_EXCEEDED'})
  const tree = see(drivers[0]!.mount, {lowers: lowers.slice(1), target}, readTree)
  t.deepEqual(tree, treeOfMany(500))
})

/** Each adds a file and removes that of the layer below, and so all but the last. */
function manyLayers(count: number): HandMadeLayer[] {
  return Array.from({length: count}, (_, index) => ({
    files: {[`file-${index}`]: String(index), newest: String(index)},
    ...(index === 0 ? {} : {removed: [`file-${index - 1}`]}),
  }))
}

function treeOfMany(count: number): string[] {
  return [`file-${count - 1}=${count - 1}`, `newest=${count - 1}`]
}

function listAll(directory: string): string[] {
  return readdirSync(directory, {recursive: true, encoding: 'utf8'}).toSorted()
}

interopTest('overlay in a user namespace: layers mount, and what is written there is a layer, too', async (t) => {
  const {at} = newFolders()
  const words = ['--user', '--map-root-user', '--mount', process.execPath, inNamespace, at('inside')]
  const seen = JSON.parse(await run('unshare', words))
  t.deepEqual(seen.readOnly, deletions.tree)
  const expected = deletions.tree.filter((line) => !/^(?:partly\/.|kept)/.test(line))
  t.deepEqual(seen.written, [...expected, 'written=3'].toSorted())
  t.deepEqual(seen.asLayer, seen.written)
})

interopTest('overlay: an upper directory where the kernel cannot keep one is refused, with its words', (t) => {
  const {target, layers, at} = newFolders()
  const lowers = writeLayers(layers, overlay, [{files: {a: '0'}}])
  const base = at('base')
  mountOverlay({lowers, upper: at('base-upper'), work: at('base-work'), target: base, userxattr: false})
  try {
    const [upper, work] = [join(base, 'upper'), join(base, 'work')]
    for (const path of [upper, work]) mkdirSync(path)
    t.throws(() => mountOverlay({lowers, upper, work, target, userxattr: false}), {
      code: 'PLATFORM_UNSUPPORTED',
      message: /cannot take what is written: .*not supported as upperdir/,
    })
  } finally {
    unmount(base)
  }
  // The kernel would mount without it, and tell nobody.
  t.throws(() => mountOverlay({lowers, upper: '/sys/kernel', work: '/sys/fs', target, userxattr: false}), {
    code: 'PLATFORM_UNSUPPORTED',
  })
  t.false(isMounted(target))
})

interopTest('overlay: layers may be symlinks to directories, as docker has short names for them', (t) => {
  const {target, layers, at} = newFolders()
  const lowers = writeLayers(layers, overlay, deletions.layers)
  const links = lowers.map((path, index) => {
    const link = join(at('l'), String(index))
    symlinkSync(path, link)
    return link
  })
  t.deepEqual(see(drivers[0]!.mount, {lowers: links, target}, readTree), deletions.tree)
})

interopTest('overlay: what is wrong with a layer is said', (t) => {
  const {target, layers, at} = newFolders()
  const gone = join(at('elsewhere'), 'gone')
  const [lower = ''] = writeLayers(layers, overlay, [{files: {a: '0'}}])
  for (const [lowers, message] of [
    [[lower, gone], /gone": ENOENT$/],
    [[lower, lower], /ELOOP/],
  ] as const) {
    t.throws(() => mountOverlay({lowers, target, userxattr: false}), {code: 'SYSTEM_ERROR', message})
  }
  t.false(isMounted(target))
})

interopTest('aufs: what fuse-overlayfs says is passed on', (t) => {
  const {target, at} = newFolders()
  const gone = join(at('elsewhere'), 'gone')
  t.throws(() => mountAufs({lowers: [gone], target}), {code: 'SYSTEM_ERROR', message: /with fuse-overlayfs: .*gone/})
  t.false(isMounted(target))
})

interopTest('a place that is used is not unmounted, and who uses it is said', async (t) => {
  const {target, layers, at} = newFolders()
  const lowers = writeLayers(layers, overlay, [{files: {a: '0'}, directories: ['inner']}])
  mountOverlay({lowers, target, userxattr: false})
  const sleeper = spawn('sleep', ['600'], {cwd: target})
  try {
    await once(sleeper, 'spawn')
    const message = new RegExp(`: it is used by sleep \\(${sleeper.pid}\\)$`)
    t.throws(() => unmount(target), {code: 'SYSTEM_ERROR', message})
    const {stderr} = await spawnImgtool(['umount', '.'], {cwd: target})
    t.regex(stderr.split('\n')[0]!, message)
  } finally {
    sleeper.kill()
    await once(sleeper, 'exit')
  }
  const {stderr} = await spawnImgtool(['umount', '.'], {cwd: target})
  t.regex(stderr, /: it is used\nHint: Run it elsewhere\n/)
  const inner = join(target, 'inner')
  mountOverlay({lowers: [at('other')], target: inner, userxattr: false})
  t.deepEqual(
    listMounts(target).map(({point, type}) => [point, type]),
    [
      [target, 'overlay'],
      [inner, 'overlay'],
    ],
  )
  t.throws(() => unmount(target), {message: /: it is used by the mount ".*inner"$/})
  unmount(inner)
  unmount(target)
  t.throws(() => unmount(target), {code: 'TARGET_INVALID'})
})

interopTest('aufs: a deletion that is taken away gives the file back', (t) => {
  const {target, layers} = newFolders()
  const lowers = writeLayers(layers, aufsDialect, [{files: {a: '0'}}, {removed: ['a']}])
  const aufs = drivers.at(-1)!.mount
  t.deepEqual(see(aufs, {lowers, target}, readTree), [])
  rmSync(join(lowers[0]!, '.wh.a'))
  t.deepEqual(see(aufs, {lowers, target}, readTree), ['a=0'])
  t.is(readFileSync(join(lowers[1]!, 'a'), 'utf8'), '0')
})
