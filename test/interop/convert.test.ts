/** What `imgtool convert` writes, read by the tools that know the format: they find the same image IDs and the same files. */
import {mkdirSync, mkdtempSync, rmSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import test, {type ExecutionContext} from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {type Dockerd, startDockerd} from '../helpers/dockerd.ts'
import {scanMount, withTimesOfDockerd} from '../helpers/dockerd-mount.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees} from '../helpers/scan-tree.ts'
import {scanUmoci, scanUnpacked} from '../helpers/scan-unpacked.ts'

const fixtures = fileURLToPath(new URL('../../fixtures/', import.meta.url))
const scratch = makeScratch()
/** podman takes no more than 50 characters. */
const podmanRun = mkdtempSync('/tmp/imgtool-')

/** One of every reader, and of every compression. */
const sources = [
  'docker-0.7.tar',
  'docker-1.7-several.tar',
  'docker-1.9.tar.gz',
  'docker-20.10-several.tar',
  'docker-20.10-shell.tar.xz',
  'skopeo-oci-gzip.tar',
  'podman-oci-archive.tar',
  'podman-docker-archive.tar',
]

let daemon: Promise<Dockerd> | undefined
let count = 0

test.after.always('stop dockerd', async () => {
  await (await daemon)?.stop()
  await removeScratch(scratch)
  rmSync(podmanRun, {recursive: true, force: true})
})

for (const source of sources) {
  for (const format of ['docker-archive', 'docker-1.10']) {
    interopTest(`docker load takes ${source} as ${format}, and the image IDs are the same`, async (t) => {
      const target = await convert(t, source, `${format}:`)
      await expectInDockerd(t, target, await listImages(t, fixtures + source))
    })
  }

  interopTest(`docker load takes ${source} as docker-v1, and makes of it what imgtool says`, async (t) => {
    const target = await convert(t, source, 'docker-v1:')
    await expectInDockerd(t, target, await listImages(t, target))
  })

  interopTest(`skopeo and umoci take ${source} as an OCI layout, and podman as an archive`, async (t) => {
    const layout = await convert(t, source, 'oci:')
    const archive = await convert(t, source, 'oci-archive:', '--compression', 'gzip')
    const images = await listImages(t, fixtures + source)
    for (const {imageID, names} of images) {
      for (const name of names) {
        t.is(await skopeoConfigDigest(`oci:${layout}:${name}`), imageID)
        await run('skopeo', [
          'copy',
          '-q',
          `oci-archive:${archive}:${name}`,
          `docker-archive:${newPath('copy')}:${name}`,
        ])
        t.is(await podmanPull(`oci-archive:${archive}:${name}`), imageID)
      }
    }
    // umoci refuses a config that does not say an operating system, as those of docker before 0.9.
    if (source === 'docker-0.7.tar') return
    const [name] = images[0]!.names
    t.deepEqual(compareTrees(await scanUmoci(layout, name!), await scanUnpacked(t, `${fixtures}${source}:${name}`)), [])
  })

  interopTest(`podman and skopeo take ${source} as docker archives`, async (t) => {
    for (const format of ['docker-archive', 'docker-1.10']) {
      const target = await convert(t, source, `${format}:`)
      for (const {imageID, names} of await listImages(t, fixtures + source)) {
        for (const name of names) {
          t.is(await podmanPull(`docker-archive:${target}:${name}`), imageID)
          const reference = `docker-archive:${target}:${name}`
          t.is(await skopeoConfigDigest(reference), imageID)
          await run('skopeo', ['copy', '-q', reference, `oci:${newPath('copy')}:1`])
        }
      }
    }
  })

  interopTest(`containerd takes ${source} as a layout and as a docker archive`, async (t) => {
    for (const format of ['oci-archive', 'docker-archive']) {
      const target = await convert(t, source, `${format}:`)
      const images = await listImages(t, fixtures + source)
      for (const {names} of images) {
        for (const name of names) t.true((await importToContainerd(t, target)).includes(wholeName(name)), name)
      }
    }
  })
}

for (const [reference, name] of [
  ['docker-1.9.tar.gz', 'shop/web:1.9'],
  ['docker-20.10-one.tar', 'shop/web:1.0'],
  ['podman-oci-archive.tar', 'localhost/shop/web:1.0'],
] as const) {
  interopTest(`a container of ${reference} has the same files after docker load of every form`, async (t) => {
    const dockerd = await startOnce()
    const truth = withTimesOfDockerd(await scanUnpacked(t, fixtures + reference))
    for (const format of ['docker-archive', 'docker-1.10', 'docker-v1']) {
      await dockerd.docker('load', '--input', await convert(t, reference, `${format}:`))
      t.deepEqual(compareTrees(await scanMount(dockerd, name, join(scratch, 'mount')), truth), [], format)
      await dockerd.docker('image', 'rm', '--force', name)
    }
  })

  interopTest(`podman load takes ${reference} as a docker archive and as an OCI archive`, async (t) => {
    const [image] = await listImages(t, fixtures + reference)
    for (const format of ['docker-archive', 'docker-1.10', 'oci-archive']) {
      await podman('rmi', '--all', '--force')
      await podman('load', '-i', await convert(t, reference, `${format}:`))
      t.is(`sha256:${(await podman('images', '-q', '--no-trunc')).trim().replace('sha256:', '')}`, image!.imageID)
    }
  })
}

interopTest('skopeo chooses among several platforms that stay together', async (t) => {
  const layout = await convert(t, 'buildah-oci-platforms.tar', 'oci:')
  for (const architecture of ['amd64', 'arm64']) {
    const words = ['--override-arch', architecture, 'inspect', '--config', `oci:${layout}:1`]
    t.is(JSON.parse(await run('skopeo', words)).architecture, architecture)
  }
})

interopTest('a layout that umoci made is added to, and umoci reads both images', async (t) => {
  const layout = newPath('layout')
  mkdirSync(layout)
  await run('tar', ['-C', layout, '-xf', `${fixtures}umoci-oci.tar`])
  const before = await scanUmoci(layout, 'made')
  const {status, stderr} = await spawnImgtool(['convert', `${fixtures}docker-1.9.tar.gz`, `oci:${layout}`])
  t.is(status, 0, stderr)
  t.deepEqual(compareTrees(await scanUmoci(layout, 'made'), before), [])
  const old = await scanUnpacked(t, `${fixtures}docker-1.9.tar.gz`)
  t.deepEqual(compareTrees(await scanUmoci(layout, 'shop/web:1.9'), old), [])
})

for (const reference of ['docker-1.9.tar.gz:shop/web:1.9', 'docker-0.7.tar:shop/web:0.7']) {
  interopTest(`skopeo, umoci and dockerd take ${reference} without its empty layers`, async (t) => {
    const target = await convert(t, reference, 'docker-archive:', '--drop-empty-layers')
    const [image] = await listImages(t, target)
    await expectInDockerd(t, target, [image!])
    const layout = newPath('layout')
    await run('skopeo', ['copy', '-q', `oci-archive:${target}:${image!.names[0]}`, `oci:${layout}:1`])
    t.is(await skopeoConfigDigest(`oci:${layout}:1`), image!.imageID)
    t.deepEqual(compareTrees(await scanUmoci(layout, '1'), await scanUnpacked(t, fixtures + reference)), [])
  })
}

interopTest('layers in zstd become what dockerd and umoci read', async (t) => {
  const archive = await convert(t, 'skopeo-oci-zstd.tar', 'docker-archive:', '--tag', 'shop/zstd:1')
  await expectInDockerd(t, archive, await listImages(t, archive))
  const layout = await convert(t, 'skopeo-oci-zstd.tar', 'oci:', '--compression', 'gzip', '--tag', '1')
  const old = await scanUnpacked(t, `${fixtures}skopeo-oci-zstd.tar`)
  t.deepEqual(compareTrees(await scanUmoci(layout, '1'), old), [])
})

interface ListedImage {
  readonly imageID: string
  readonly names: readonly string[]
}

async function convert(t: ExecutionContext, source: string, format: string, ...flags: string[]): Promise<string> {
  const target = newPath('converted')
  const {status, stderr} = await spawnImgtool(['convert', ...flags, fixtures + source, format + target])
  t.is(status, 0, stderr)
  return target
}

async function listImages(t: ExecutionContext, archive: string): Promise<readonly ListedImage[]> {
  const {status, stdout, stderr} = await spawnImgtool(['list', '--image-ids', '--json', archive])
  t.is(status, 0, stderr)
  const {images} = JSON.parse(stdout.toString()) as {images: readonly ListedImage[]}
  return images
}

async function expectInDockerd(t: ExecutionContext, archive: string, images: readonly ListedImage[]): Promise<void> {
  const {docker} = await startOnce()
  await docker('load', '--input', archive)
  for (const {imageID, names} of images) {
    t.true(names.length > 0)
    for (const name of names) {
      t.is((await docker('image', 'inspect', '--format', '{{.Id}}', name)).trim(), imageID, name)
      await docker('image', 'rm', '--force', name)
    }
  }
}

async function skopeoConfigDigest(reference: string): Promise<string> {
  const manifest = JSON.parse(await run('skopeo', ['inspect', '--raw', reference]))
  return manifest.config.digest
}

/** @returns the image ID */
async function podmanPull(reference: string): Promise<string> {
  return `sha256:${(await podman('pull', '-q', reference)).trim()}`
}

function podman(...words: string[]): Promise<string> {
  const root = join(scratch, 'podman')
  return run('podman', ['--root', root, '--runroot', podmanRun, '--storage-driver', 'vfs', ...words])
}

/** Imports to the containerd that dockerd runs. @returns the names of the images */
async function importToContainerd(t: ExecutionContext, archive: string): Promise<string[]> {
  const {containerdSocket} = await startOnce()
  const ctr = (...words: string[]) => run('ctr', ['-a', containerdSocket, '-n', 'convert', ...words])
  await ctr('images', 'import', '--all-platforms', '--no-unpack', archive)
  const names = (await ctr('images', 'list', '-q')).trim().split('\n')
  t.log(names.join())
  return names
}

function wholeName(name: string): string {
  return name.startsWith('localhost/') ? name : `docker.io/${name}`
}

function newPath(name: string): string {
  count += 1
  return join(scratch, `${name}-${count}`)
}

function startOnce(): Promise<Dockerd> {
  daemon ??= startDockerd(join(scratch, 'dockerd'))
  return daemon
}
