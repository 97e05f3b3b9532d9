/** The image IDs of archives before 1.10 against those that dockerd 20.10 gives the same file in `docker load`. */
import {copyFileSync, existsSync, readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {fileURLToPath} from 'node:url'
import {gunzipSync} from 'node:zlib'
import test, {type ExecutionContext} from 'ava'
import {spawnImgtool} from '../helpers/cli.ts'
import {type Dockerd, startDockerd} from '../helpers/dockerd.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const centos = join(root, '../shared/images/docker-v1-centos-empty-layers.tar')
const archives = [
  ...['docker-0.7.tar', 'docker-1.7-several.tar', 'docker-1.9.tar.gz'].map((name) => join(root, 'fixtures', name)),
  ...(existsSync(centos) ? [centos] : []),
]
const scratch = makeScratch()
let daemon: Promise<Dockerd> | undefined

test.after.always('stop dockerd', async () => {
  await (await daemon)?.stop()
  await removeScratch(scratch)
})

for (const archive of archives) {
  const name = archive.slice(archive.lastIndexOf('/') + 1)

  interopTest(`${name}: image IDs and configs are those of docker load`, async (t) => {
    await compareWithLoad(t, archive)
  })

  interopTest(`${name}: every ancestor gets the image ID and config of docker load`, async (t) => {
    await compareWithLoad(t, await nameEveryStep(archive))
  })
}

interopTest('an archive without repositories has the image IDs of the one with names', async (t) => {
  const named = await listImageIDs(t, join(root, 'fixtures/docker-1.9.tar.gz'))
  const unnamed = await listImageIDs(t, join(root, 'fixtures/docker-1.9-by-id.tar'))
  t.deepEqual([...unnamed.keys()], [...named.keys()])
})

async function compareWithLoad(t: ExecutionContext, archive: string): Promise<void> {
  const {docker, config} = await startOnce()
  await docker('load', '--input', archive)
  const images = await listImageIDs(t, archive)
  const names = [...images.values()].flat()
  t.true(names.length > 0)
  for (const [imageID, itsNames] of images) {
    for (const name of itsNames) {
      t.is(imageID, (await docker('image', 'inspect', '--format', '{{.Id}}', name)).trim(), name)
      const {stdout, stderr} = await spawnImgtool(['inspect', '--config', `${archive}:${name}`])
      t.is(stdout.toString(), config(imageID).toString(), `${name}: ${stderr}`)
    }
  }
}

interface ListedImage {
  readonly imageID: string
  readonly names: readonly string[]
}

/** Image ID to names. */
async function listImageIDs(t: ExecutionContext, archive: string): Promise<Map<string, readonly string[]>> {
  const {status, stdout, stderr} = await spawnImgtool(['list', '--image-ids', '--json', archive])
  t.is(status, 0, stderr)
  const {images} = JSON.parse(stdout.toString()) as {images: ListedImage[]}
  return new Map(images.map(({imageID, names}) => [imageID, names]))
}

/** The archive again with a name on each of its directories, since only a name makes `docker load` tell an image ID. */
async function nameEveryStep(archive: string): Promise<string> {
  const copy = join(scratch, 'every-step.tar')
  if (archive.endsWith('.gz')) writeFileSync(copy, gunzipSync(readFileSync(archive)))
  else copyFileSync(archive, copy)
  const members = (await run('tar', ['-tf', copy])).split('\n')
  const ids = members.filter((member) => member.endsWith('/json')).map((member) => member.split('/').at(-2)!)
  const repositories = members.find((member) => /^(\.\/)?repositories$/.test(member))!
  const tags = Object.fromEntries(ids.map((id, index) => [`step-${index}`, id]))
  writeFileSync(join(scratch, 'repositories'), JSON.stringify({every: tags}))
  await run('tar', ['--delete', '-f', copy, repositories])
  await run('tar', ['-C', scratch, '-rf', copy, repositories])
  return copy
}

function startOnce(): Promise<Dockerd> {
  daemon ??= startDockerd(join(scratch, 'dockerd'))
  return daemon
}
