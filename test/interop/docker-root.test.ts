/** The data-root of a dockerd that is stopped, read by imgtool: the same images, byte for byte, and the same files without tar-split. */
import {createHash} from 'node:crypto'
import {globSync, readFileSync, rmSync, writeFileSync} from 'node:fs'
import {basename, dirname, join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {gunzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {startDockerd} from '../helpers/dockerd.ts'
import {withTimesOfDockerd} from '../helpers/dockerd-mount.ts'
import {dockerMembers, tarOf} from '../helpers/image.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees, scanTree} from '../helpers/scan-tree.ts'
import {directory, file, gnuLong, hardlink, pax, sparseFile, sparseForms, symlink, tar} from '../helpers/tar.ts'
import {splitTar} from '../helpers/tar-split.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const archives = ['docker-20.10-several.tar', 'docker-20.10-shell.tar.xz', 'podman-docker-archive.tar']
const scratch = makeScratch()

test.after.always('clean up', () => removeScratch(scratch))

for (const driver of ['overlay2', 'overlay', 'vfs'] as const) {
  interopTest(`images of a stopped dockerd on ${driver} come out as they went in`, async (t) => {
    const root = await load(
      driver,
      archives.map((name) => fixtures + name),
    )
    const stored = await list(t, `docker-root:${root}`)
    const layout = join(scratch, `layout-${driver}`)
    await imgtool(t, 'convert', `docker-root:${root}:${driver}`, `oci:${layout}`)
    await imgtool(t, 'verify', `docker-root:${root}`)
    for (const archive of archives) {
      for (const {imageID, names} of await list(t, fixtures + archive)) {
        const found = namesOf(stored, imageID)
        t.true(names.length > 0 && names.every((name) => found.includes(name)), found.join())
        t.deepEqual(
          await diffIDs(t, `oci:${layout}:${names[0]}`),
          await diffIDs(t, `${fixtures}${archive}:${names[0]}`),
        )
      }
    }
  })

  interopTest(`without tar-split, images of ${driver} have the same files, and dockerd takes them`, async (t) => {
    const archive = `${fixtures}docker-20.10-shell.tar.xz`
    const root = await load(driver, [archive])
    const [image] = await list(t, archive)
    const [name] = image!.names
    const truth = withTimesOfDockerd(await unpack(t, `${archive}:${name}`))
    for (const path of globSync(`${root}/image/*/layerdb/sha256/*/tar-split.json.gz`)) rmSync(path)
    t.deepEqual(compareTrees(withTimesOfDockerd(await unpack(t, `docker-root:${root}:${name}`)), truth), [])
    const rescued = join(scratch, `rescued-${driver}.tar`)
    const {stderr} = await imgtool(t, 'convert', `docker-root:${root}:${name}`, rescued)
    t.regex(stderr, /no tar-split/)
    await imgtool(t, 'verify', rescued)
    t.not((await list(t, rescued))[0]!.imageID, image!.imageID)
    t.deepEqual(compareTrees(withTimesOfDockerd(await unpack(t, rescued)), truth), [])
    await load(driver, [rescued])
  })
}

/** What tars can have that those of docker have not. */
const long = `${'long/'.repeat(30)}name`
const oddLayer = tar(
  pax([['comment', 'of all']], 'g', {name: 'pax_global_header'}),
  directory('./d/'),
  file('./d/<&>"', 'content'),
  file('/d/absolute', 'content'),
  file('d/\xff', 'bytes'),
  file('d/\xe2\x80\xa8', 'line separator'),
  hardlink('d/hard', 'd/absolute'),
  Buffer.concat([gnuLong('L', long), file('short', 'long')]),
  Buffer.concat([pax([['path', 'd/pax']]), file('short', 'pax')]),
  Buffer.concat([gnuLong('K', 't'.repeat(120)), symlink('s', 'short')]),
  file('last', 'l'),
)

interopTest('tar-split is byte for byte that of dockerd, also of odd tars', async (t) => {
  const root = await load('overlay2', [writeImage('odd', oddLayer)])
  const [path] = globSync(`${root}/image/overlay2/layerdb/sha256/*/tar-split.json.gz`)
  t.is(splitTar(oddLayer).toString('latin1'), gunzipSync(readFileSync(path!)).toString('latin1'))
})

interopTest('a sparse file, which dockerd saves as another one, is right with the tar-split of imgtool', async (t) => {
  // dockerd refuses the notation of GNU.
  const forms = sparseForms.filter((form) => form !== 'gnu')
  const pieces = [
    {offset: 10, data: 'x'.repeat(600)},
    {offset: 3000, data: 'end'},
  ]
  const layer = tar(...forms.map((form) => sparseFile(form, `sparse-${form}`, 4000, pieces)))
  const root = await load('overlay2', [writeImage('sparse', layer)])
  const [path] = globSync(`${root}/image/overlay2/layerdb/sha256/*/tar-split.json.gz`)
  const convert = () => spawnImgtool(['convert', '--force', `docker-root:${root}`, join(scratch, 'sparse-copy.tar')])
  t.not((await convert()).status, 0)
  await run('sh', ['-c', 'gzip -c > "$0" < "$1"', path!, writeScratch('sparse.json', splitTar(layer))])
  const {status, stderr} = await convert()
  t.is(status, 0, stderr)
  const copied = await diffIDs(t, join(scratch, 'sparse-copy.tar'))
  t.deepEqual(copied, [`sha256:${createHash('sha256').update(layer).digest('hex')}`])
  const dockerd = await startDockerd(dirname(root))
  const saved = join(scratch, 'sparse-saved.tar')
  await dockerd.docker('save', '--output', saved, 'sparse:1').finally(() => dockerd.stop())
  await imgtool(t, 'verify', saved)
})

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`layers of ${driver} have the sizes that dockerd gives them`, async (t) => {
    const paths = archives.map((name) => fixtures + name)
    const theirs = await load(driver, paths)
    const ours = join(scratch, `sizes-${driver}`)
    for (const archive of paths) await imgtool(t, 'unpack', '--driver', driver, archive, ours)
    t.deepEqual(sizesOf(ours, driver), sizesOf(theirs, driver))
  })
}

/** What docker writes down of layers. */
function sizesOf(root: string, driver: string): Record<string, string> {
  const paths = globSync(`${root}/image/${driver}/layerdb/sha256/*/size`).toSorted()
  return Object.fromEntries(paths.map((path) => [basename(dirname(path)), readFileSync(path, 'latin1')]))
}

interopTest('what imgtool makes a layer of that has a sparse file is saved again by dockerd', async (t) => {
  const layer = tar(sparseFile('1.0', 'sparse', 5_000_000, [{offset: 4_000_256, data: 'x'.repeat(512)}]))
  const squashed = join(scratch, 'sparse-squashed.tar')
  await imgtool(t, 'squash', writeImage('holes', layer), squashed)
  const dockerd = await startDockerd(join(scratch, 'd-holes'))
  try {
    await dockerd.docker('load', '--input', squashed)
    const saved = join(scratch, 'holes-saved.tar')
    await dockerd.docker('save', '--output', saved, 'holes:1')
    t.deepEqual(await diffIDs(t, saved), await diffIDs(t, squashed))
  } finally {
    await dockerd.stop()
  }
})

function writeImage(name: string, layer: Buffer): string {
  return writeScratch(`${name}.tar`, tarOf(dockerMembers([{names: [`${name}:1`], layers: [layer]}])))
}

function writeScratch(name: string, bytes: Buffer): string {
  const path = join(scratch, name)
  writeFileSync(path, bytes)
  return path
}

let roots = 0

/** Has a dockerd load archives, and stops it. @returns its data-root */
async function load(driver: 'overlay2' | 'overlay' | 'vfs', paths: readonly string[]): Promise<string> {
  const dockerd = await startDockerd(join(scratch, `d-${roots++}`), driver)
  try {
    for (const path of paths) await dockerd.docker('load', '--input', path)
  } finally {
    await dockerd.stop()
  }
  return dockerd.dataRoot
}

interface Listed {
  readonly imageID: string
  readonly names: readonly string[]
}

async function list(t: ExecutionContext, reference: string): Promise<Listed[]> {
  return JSON.parse((await imgtool(t, 'list', '--json', reference)).stdout).images
}

function namesOf(images: readonly Listed[], imageID: string): readonly string[] {
  return images.filter((image) => image.imageID === imageID).flatMap(({names}) => names)
}

async function diffIDs(t: ExecutionContext, reference: string): Promise<string[]> {
  const {layers} = JSON.parse((await imgtool(t, 'inspect', '--json', reference)).stdout)
  return layers.map(({diffID}: {diffID: string}) => diffID)
}

let trees = 0

async function unpack(t: ExecutionContext, reference: string) {
  const target = join(scratch, `tree-${trees++}`)
  await imgtool(t, 'unpack', reference, target)
  return scanTree(target)
}

async function imgtool(t: ExecutionContext, ...words: readonly string[]) {
  const {status, stdout, stderr} = await spawnImgtool([...words])
  t.is(status, 0, stderr)
  return {stdout: stdout.toString(), stderr}
}
