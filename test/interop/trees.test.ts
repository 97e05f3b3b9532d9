/** Unpacked trees against those of dockerd and umoci, path by path. */
import {mkdirSync, readdirSync, readFileSync, statSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import test from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {type Dockerd, startDockerd} from '../helpers/dockerd.ts'
import {scanMount, withTimesOfDockerd} from '../helpers/dockerd-mount.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees, scanTree, type Tree} from '../helpers/scan-tree.ts'
import {scanUmoci, scanUnpacked} from '../helpers/scan-unpacked.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const buildScript = fileURLToPath(new URL('odd-image/build.sh', import.meta.url))
const scratch = makeScratch()
const image = 'odd:1'
const archive = join(scratch, 'odd.tar')
const layout = join(scratch, 'odd-oci')

let daemon: Dockerd | undefined
let prepared: Promise<void> | undefined

test.after.always('stop dockerd', async () => {
  await daemon?.stop()
  await removeScratch(scratch)
})

interopTest('dockerd and umoci agree on the odd image, so that they can be the truth', async (t) => {
  await prepare()
  const mounted = await scanMount(daemon!, image, join(scratch, 'mount'))
  t.true(mounted.size > 250, `${mounted.size} paths`)
  t.deepEqual(compareTrees(mounted, withTimesOfDockerd(await scanUmoci(layout, '1'))), [])
})

interopTest('unpack of a docker archive gives the tree that dockerd mounts', async (t) => {
  await prepare()
  const unpacked = await scanUnpacked(t, `docker-archive:${archive}`)
  t.deepEqual(compareTrees(withTimesOfDockerd(unpacked), await scanMount(daemon!, image, join(scratch, 'mount'))), [])
})

interopTest('unpack of a docker archive gives the tree that umoci unpacks', async (t) => {
  await prepare()
  const unpacked = await scanUnpacked(t, archive)
  t.deepEqual(compareTrees(unpacked, await scanUmoci(layout, '1')), [])
})

interopTest('unpack of an OCI layout gives the tree that umoci unpacks', async (t) => {
  await prepare()
  const unpacked = await scanUnpacked(t, `oci:${layout}:1`)
  t.deepEqual(compareTrees(unpacked, await scanUmoci(layout, '1')), [])
})

interopTest('unpack gives sparse files of every form as GNU tar extracts them, with the same holes', async (t) => {
  const directory = await extractFixture('umoci-oci-sparse.tar')
  const extracted = newPath('sparse')
  mkdirSync(extracted)
  for (const digest of layerDigests(directory)) {
    await run('tar', ['-C', extracted, '-xzf', join(directory, 'blobs', digest.replace(':', '/'))])
  }
  const target = newPath('unpacked')
  const {status, stderr} = await spawnImgtool(['unpack', `oci:${directory}:1`, target])
  t.is(status, 0, stderr)
  t.deepEqual(compareTrees(withoutRoot(scanTree(target)), withoutRoot(scanTree(extracted))), [])
  for (const name of readdirSync(extracted)) {
    t.is(statSync(join(target, name)).blocks, statSync(join(extracted, name)).blocks, name)
  }
})

interopTest(
  'unpack gives one tree for one image, whatever tool saved it and however its layers are compressed',
  async (t) => {
    const truth = await scanUmoci(await extractFixture('skopeo-oci-gzip.tar'), 'shop/web:1.0')
    const references = [
      'docker-20.10-one.tar',
      'docker-20.10-one.tar.zst',
      'docker-20.10-several.tar:shop/web:latest',
      'docker-20.10-several.tar.gz:shop/web:1.0',
      'docker-1.7-several.tar:shop/web:1.0',
      'docker-1.9.tar.gz:shop/web:1.9',
      'docker-1.9-by-id.tar',
      'skopeo-docker-archive.tar',
      'skopeo-oci-gzip.tar',
      'skopeo-oci-zstd.tar',
      'skopeo-oci-plain.tar',
      'oci-zstd-frames.tar',
      'podman-docker-archive.tar:localhost/shop/web:1.0',
      'podman-oci-archive.tar',
    ]
    for (const reference of references) {
      t.deepEqual(compareTrees(await scanUnpacked(t, fixtures + reference), truth), [], reference)
    }
  },
)

interopTest('unpack reads the whiteouts of umoci as umoci does', async (t) => {
  const truth = await scanUmoci(await extractFixture('umoci-oci.tar'), 'made')
  t.deepEqual(compareTrees(await scanUnpacked(t, `${fixtures}umoci-oci.tar:made`), truth), [])
})

interopTest('unpack gives the modes, links and programs of an image built with RUN', async (t) => {
  await run('sh', ['-c', `xz -dc ${fixtures}docker-20.10-shell.tar.xz >${scratch}/shell.tar`])
  await run('skopeo', ['copy', '-q', `docker-archive:${scratch}/shell.tar`, `oci:${scratch}/shell-oci:1`])
  const unpacked = await scanUnpacked(t, `${fixtures}docker-20.10-shell.tar.xz`)
  t.deepEqual(compareTrees(unpacked, await scanUmoci(join(scratch, 'shell-oci'), '1')), [])
})

/** Builds the image once, and saves it. */
function prepare(): Promise<void> {
  prepared ??= build()
  return prepared
}

async function build(): Promise<void> {
  daemon = await startDockerd(join(scratch, 'dockerd'))
  const work = join(scratch, 'build')
  mkdirSync(work)
  await run('bash', [buildScript, image, work], {env: {DOCKER_HOST: daemon.host}})
  await daemon.docker('save', '--output', archive, image)
  await run('skopeo', ['copy', '-q', `docker-archive:${archive}`, `oci:${layout}:1`])
}

/** Of a layout with one image, the lowest layer first. */
function layerDigests(directory: string): string[] {
  const read = (path: string) => JSON.parse(readFileSync(join(directory, path), 'utf8'))
  const manifest = read(join('blobs', read('index.json').manifests[0].digest.replace(':', '/')))
  return manifest.layers.map(({digest}: {digest: string}) => digest)
}

async function extractFixture(name: string): Promise<string> {
  const directory = newPath('layout')
  mkdirSync(directory)
  await run('tar', ['-C', directory, '-xf', fixtures + name])
  return directory
}

let count = 0

function newPath(name: string): string {
  count += 1
  return join(scratch, `${name}-${count}`)
}

function withoutRoot(tree: Tree): Tree {
  return new Map([...tree].filter(([path]) => path !== '.'))
}
