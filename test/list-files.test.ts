import test from 'ava'
import {ImgtoolError} from '../src/errors.ts'
import {defaultLimits} from '../src/limits.ts'
import {type ListedFile, listFiles, listLayer} from '../src/list-files.ts'
import {imageOf} from './helpers/images.ts'
import {imageOfTars} from './helpers/memory-layers.ts'
import {directory, file, hardlink, member, pax, symlink, tar} from './helpers/tar.ts'

/** Layers on which dockerd with overlay2, dockerd with vfs, podman and umoci come to different trees. */
const disagreements = [
  {
    title: 'a directory that is whited out and made again, without an opaque mark, loses its old children',
    lower: [directory('d'), file('d/old')],
    upper: [file('.wh.d'), directory('d'), file('d/new')],
    paths: ['d', 'd/new'],
  },
  {
    title: 'an opaque mark at the root empties the root',
    lower: [file('old')],
    upper: [file('.wh..wh..opq'), file('new')],
    paths: ['new'],
  },
  {
    title: 'an opaque mark behind what its layer adds leaves that alone',
    lower: [file('d/old')],
    upper: [file('d/new'), file('d/.wh..wh..opq')],
    paths: ['d', 'd/new'],
  },
  {
    title: 'a file below a symlink of a lower layer goes where that leads',
    lower: [directory('real'), symlink('link', 'real')],
    upper: [file('link/f')],
    paths: ['link', 'real', 'real/f'],
  },
  {
    title: 'a whiteout below a symlink of a lower layer works where that leads',
    lower: [file('real/f'), symlink('link', 'real')],
    upper: [file('link/.wh.f')],
    paths: ['link', 'real'],
  },
  {
    title: 'a hard link to a file of a lower layer is made',
    lower: [file('d/a')],
    upper: [hardlink('hl', 'd/a')],
    paths: ['d', 'd/a', 'hl'],
  },
  {
    title: 'a character device 0:0 is a device',
    lower: [file('f')],
    upper: [member({name: 'f', type: '3'})],
    paths: ['f'],
  },
  {
    title: 'a whiteout of a missing path leaves nothing behind',
    lower: [file('f')],
    upper: [file('missing/.wh.x'), file('.wh.y')],
    paths: ['f'],
  },
  {title: 'parents that no layer has are there', lower: [], upper: [file('/a/./b/c')], paths: ['a', 'a/b', 'a/b/c']},
  {
    title: 'a whiteout behind an entry of the same name leaves the entry',
    lower: [file('f')],
    upper: [file('f', 'new'), file('.wh.f'), file('g'), file('.wh.g')],
    paths: ['f', 'g'],
  },
]

for (const {title, lower, upper, paths} of disagreements) {
  test(title, async (t) => {
    const listed = await listFiles(imageOfTars(tar(...lower), tar(...upper)))
    t.deepEqual(pathsOf(listed), ['', ...paths])
  })
}

test('implied parents have the mode 0755', async (t) => {
  const [, parent] = await listFiles(imageOfTars(tar(file('a/f', '', {mode: 0o600}))))
  t.like(parent, {path: 'a', kind: 'directory', mode: 0o755, uid: 0, gid: 0})
})

test('a file is listed with all that is known of it', async (t) => {
  const records = pax([
    ['mtime', '1.5'],
    ['SCHILY.xattr.user.x', 'y'],
  ])
  const image = imageOfTars(tar(), tar(records, file('f', 'abc', {mode: 0o4755, uid: 5, gid: 6}), hardlink('h', 'f')))
  const [, listed, other] = await listFiles(image)
  t.deepEqual(listed, {
    path: 'f',
    kind: 'file',
    mode: 0o4755,
    uid: 5,
    gid: 6,
    size: 3,
    mtime: {seconds: 1, nanoseconds: 500_000_000},
    xattrs: new Map([['user.x', 'y']]),
    links: 2,
    layer: 1,
  })
  t.deepEqual(other, {...listed!, path: 'h'})
})

test('links have targets, and devices numbers', async (t) => {
  const device = member({name: 'null', type: '3', deviceMajor: 1, deviceMinor: 3})
  const [, first, second] = await listFiles(imageOfTars(tar(device, symlink('s', '../x'))))
  t.like(first, {kind: 'character', device: {major: 1, minor: 3}})
  t.like(second, {kind: 'symlink', link: '../x'})
})

const some = imageOfTars(
  tar(directory('d'), file('d/a'), file('d/e/b'), symlink('s', 'd')),
  tar(file('d/.wh.a'), file('top'), file('d/e/.wh..wh..opq'), hardlink('h', 'top'), file('.wh.x', 'data')),
)

test('a list begins at a path and goes as deep as is said', async (t) => {
  t.deepEqual(pathsOf(await listFiles(some, {path: '/d/'})), ['d', 'd/e'])
  t.deepEqual(pathsOf(await listFiles(some, {path: './d', depth: 0})), ['d'])
  t.deepEqual(pathsOf(await listFiles(some, {path: '/', depth: 1})), ['', 'd', 'h', 's', 'top'])
  t.deepEqual(pathsOf(await listFiles(some, {path: 's/e'})), ['d/e'])
  t.deepEqual(pathsOf(await listFiles(some, {path: '../d', depth: 0})), ['d'])
})

test('a slash behind a path follows a symlink to a directory, inside the image', async (t) => {
  const usr = [directory('usr/bin'), file('usr/bin/sh'), symlink('bin', 'usr/bin'), symlink('sbin', '/../bin')]
  const odd = [symlink('file', 'bin/sh'), symlink('lost', 'none'), symlink('loop', 'loop')]
  const image = imageOfTars(tar(...usr, ...odd))
  const list = async (path: string) => pathsOf(await listFiles(image, {path}))
  for (const path of ['bin', '/sbin']) t.is((await list(path)).length, 1)
  for (const path of ['bin/', '/bin/', 'bin//', 'bin/.', 'bin/./', '/sbin/', 'usr/bin/.'])
    t.deepEqual(await list(path), ['usr/bin', 'usr/bin/sh'], path)
  t.deepEqual(await list('/.'), await list('/'))
  t.deepEqual(await list('./'), await list(''))
  for (const path of ['file/', 'lost/', 'bin/sh/.', 'none/'])
    await t.throwsAsync(list(path), {code: 'PATH_NOT_FOUND', message: /^Cannot find directory "/}, path)
  await t.throwsAsync(list('loop/'), {code: 'LINK_INVALID'})
})

test('a path that is not in the image is refused', async (t) => {
  for (const path of ['missing', 'd/a', 'top/x', '__proto__', '..'])
    await t.throwsAsync(listFiles(some, {path}), {code: 'PATH_NOT_FOUND'}, path)
})

test("one layer's list has its own entries, in their order, whiteouts marked", async (t) => {
  const listed = [...(await listLayer(some, 1))]
  t.deepEqual(
    listed.map(({path, kind, whiteout, layer, links}) => [path, kind, whiteout, layer, links]),
    [
      ['d/.wh.a', 'file', 'remove', 1, 1],
      ['top', 'file', undefined, 1, 1],
      ['d/e/.wh..wh..opq', 'file', 'opaque', 1, 1],
      ['h', 'hardlink', undefined, 1, 1],
      ['.wh.x', 'file', 'remove', 1, 1],
    ],
  )
  t.false(Object.hasOwn(listed[1]!, 'whiteout'))
})

test('layers are counted from the base, or from the top with negative numbers', async (t) => {
  t.deepEqual(pathsOf(await listLayer(some, 0)), ['d', 'd/a', 'd/e/b', 's'])
  t.deepEqual(pathsOf(await listLayer(some, -2)), ['d', 'd/a', 'd/e/b', 's'])
  for (const index of [2, -3]) await t.throwsAsync(listLayer(some, index), {code: 'PATH_NOT_FOUND'})
})

test("one layer's list may begin at a path and go as deep as is said", async (t) => {
  t.deepEqual(pathsOf(await listLayer(some, 0, {path: '/d'})), ['d', 'd/a', 'd/e/b'])
  t.deepEqual(pathsOf(await listLayer(some, 0, {path: 'd', depth: 1})), ['d', 'd/a'])
  t.deepEqual(pathsOf(await listLayer(some, 0, {depth: 1})), ['d', 's'])
  t.deepEqual(pathsOf(await listLayer(imageOfTars(tar(file('d'), file('d-e'))), 0, {path: 'd'})), ['d'])
  await t.throwsAsync(listLayer(some, 0, {path: 'top'}), {code: 'PATH_NOT_FOUND'})
})

test("an empty layer's list is empty", async (t) => t.deepEqual([...(await listLayer(imageOfTars(tar()), 0))], []))

test('a refusal says which layer', async (t) => {
  const error = await t.throwsAsync(listFiles(imageOfTars(tar(), tar(hardlink('h', 'missing')))), {
    code: 'LINK_INVALID',
  })
  t.like(error, {details: {layer: 1, entry: 'h'}})
})

test('limits and signals hold', async (t) => {
  await t.throwsAsync(listFiles(some, {limits: {...defaultLimits, entries: 5}}), {code: 'LIMIT_EXCEEDED'})
  await t.throwsAsync(listLayer(some, 0, {limits: {...defaultLimits, entries: 3}}), {code: 'LIMIT_EXCEEDED'})
  await t.throwsAsync(listFiles(some, {signal: AbortSignal.abort()}), {name: 'AbortError'})
  await t.throwsAsync(listLayer(some, 0, {signal: AbortSignal.abort()}), {name: 'AbortError'})
})

test('a partial image is refused by what it lacks', async (t) => {
  const broken = new ImgtoolError('PARENT_MISSING', 'A parent is missing')
  t.is(await t.throwsAsync(listFiles(imageOf([], {broken}))), broken)
})

function pathsOf(listed: Iterable<ListedFile>): string[] {
  return [...listed].map(({path}) => path)
}
