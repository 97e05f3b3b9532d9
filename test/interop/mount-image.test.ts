/** Images of a store are mounted, and show what the directory driver unpacks; what is written is a container's. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import {join} from 'node:path'
import test, {type ExecutionContext} from 'ava'
import {checkStore} from '../../src/check-store.ts'
import type {DriverName} from '../../src/driver/driver.ts'
import {writeInitLayer} from '../../src/driver/init-layer.ts'
import {isMounted, listMounts, unmount} from '../../src/driver/mounts.ts'
import type {ImgtoolError} from '../../src/errors.ts'
import {mountContainer, mountImage, unmountImage} from '../../src/mount-image.ts'
import {openSource, selectImage} from '../../src/open.ts'
import * as os from '../../src/os/libc.ts'
import {removeStoredImage} from '../../src/remove-stored.ts'
import {listContainers, listStore} from '../../src/store-status.ts'
import {fromText} from '../../src/text.ts'
import {unpackImage} from '../../src/unpack.ts'
import {bin, spawnImgtool} from '../helpers/cli.ts'
import {write} from '../helpers/data-root.ts'
import {Disk} from '../helpers/disk.ts'
import {fixture} from '../helpers/fixtures.ts'
import {interopTest} from '../helpers/interop.ts'
import {run} from '../helpers/run.ts'
import {compareTrees, scanTree} from '../helpers/scan-tree.ts'
import {addToStore, driverNames, storedLayers} from '../helpers/store.ts'

const archive = 'docker-20.10-several.tar'
const image = 'shop/web:1.0'

let disk: Disk | undefined

test.after.always('unmount everything', () => {
  if (disk === undefined) return
  for (const {point} of listMounts(disk.path).toReversed()) if (point !== disk.path) unmount(point)
  disk[Symbol.dispose]()
})

/** A store, and an empty directory, on a file system that has every kind of attribute. */
async function newStore(
  driver: DriverName,
  name = 'a store',
  images = archive,
): Promise<{store: string; target: string; folder: string}> {
  disk ??= new Disk({size: 256 << 20, inodes: 60_000})
  const folder = join(disk.path, String(readdirSync(disk.path).length))
  const [store, target] = [join(folder, name), join(folder, 'target')]
  for (const path of [folder, store, target]) mkdirSync(path)
  await addToStore(store, driver, images)
  return {store, target, folder}
}

async function requireSound(t: ExecutionContext, store: string): Promise<void> {
  const {findings} = await checkStore(store, {layers: true})
  t.deepEqual(findings, [])
}

for (const driver of driverNames) {
  interopTest(`an image is mounted from ${driver} as it is unpacked, and nobody can write`, async (t) => {
    const {store, target, folder} = await newStore(driver)
    await using source = await openSource(fixture(`${archive}:${image}`))
    await unpackImage(selectImage(source), join(folder, 'unpacked'))
    await mountImage(store, image, target)
    t.true(isMounted(target))
    const [wanted, shown] = [scanTree(join(folder, 'unpacked')), scanTree(target)]
    t.deepEqual(compareTrees(wanted, shown), [])
    t.throws(() => writeFileSync(join(target, 'new'), ''), {code: 'EROFS'})
    await t.throwsAsync(unmountImage(target, {remove: true}), {code: 'TARGET_INVALID'})
    t.deepEqual(await unmountImage(target), {removed: false})
    t.false(isMounted(target))
    await requireSound(t, store)
  })

  interopTest(
    `what is written to an image of ${driver} is a container's, which stays until it is removed`,
    async (t) => {
      const {store, target} = await newStore(driver)
      const {container} = await mountContainer(store, image, target)
      t.is(readlinkSync(join(target, 'etc/mtab')), '/proc/mounts')
      for (const name of ['.dockerenv', 'etc/hosts', 'dev/console']) t.is(statSync(join(target, name)).size, 0, name)
      writeFileSync(join(target, 'new'), 'written')
      await requireSound(t, store)
      const {imageID} = (await listStore(store)).find(({names}) => names.includes(image))!
      t.deepEqual(await listContainers(store), [{containerID: container, imageID, isMounted: true}])
      await t.throwsAsync(removeStoredImage(store, container), {code: 'IMAGE_USED', message: /it is mounted/})
      t.deepEqual(await unmountImage(target), {container, removed: false})
      t.deepEqual(await listContainers(store), [{containerID: container, imageID, isMounted: false}])
      t.deepEqual(listMounts(store), [])
      const facts = join(store, 'image', driver, 'layerdb/mounts', container)
      const [mountID, initID] = ['mount-id', 'init-id'].map((name) => readFileSync(join(facts, name), 'latin1'))
      t.is(initID, `${mountID}-init`)
      const diff = {overlay2: `overlay2/${mountID}/diff`, vfs: `vfs/dir/${mountID}`, aufs: `aufs/diff/${mountID}`}[
        driver
      ]
      t.is(readFileSync(join(store, diff, 'new'), 'latin1'), 'written')
      t.is(
        storedLayers(store, driver).filter(({chainID}) => chainID === readFileSync(join(facts, 'parent'), 'latin1'))
          .length,
        1,
      )
      t.deepEqual((await checkStore(store, {repair: true})).repairs, [])
      t.deepEqual((await removeStoredImage(store, container.slice(0, 12))).containers, [container])
      t.false(existsSync(join(store, diff)))
      await requireSound(t, store)
    },
  )

  interopTest(`a container of ${driver} can go with its mount, and nothing is left of it`, async (t) => {
    const {store, target} = await newStore(driver)
    const before = readdirSync(store, {recursive: true}).length
    const {container} = await mountContainer(store, image, target)
    writeFileSync(join(target, 'new'), 'written')
    t.deepEqual(await unmountImage(target, {remove: true}), {container, removed: true})
    const extra = readdirSync(store, {recursive: true}).length - before
    // Directories of docker's own, and marks of places that have been lain on.
    t.true(extra <= 3, String(extra))
    await requireSound(t, store)
  })

  interopTest(`a container of ${driver} that was unmounted is mounted again, with what was written`, async (t) => {
    const {store, target, folder} = await newStore(driver)
    const {container} = await mountContainer(store, image, target)
    writeFileSync(join(target, 'new'), 'written')
    const second = join(folder, 'second')
    mkdirSync(second)
    for (const mount of [mountContainer, mountImage])
      await t.throwsAsync(mount(store, container, second), {code: 'IMAGE_USED', message: /it is mounted on/})
    await unmountImage(target)
    t.is((await mountContainer(store, container.slice(0, 12), second)).container, container)
    writeFileSync(join(second, 'new'), ', and more', {flag: 'a'})
    t.deepEqual(await unmountImage(second), {container, removed: false})
    t.is((await mountImage(store, container, target)).container, container)
    t.is(readFileSync(join(target, 'new'), 'latin1'), 'written, and more')
    t.throws(() => writeFileSync(join(target, 'new'), ''), {code: 'EROFS'})
    await unmountImage(target)
    t.deepEqual(listMounts(store), [])
    await mountContainer(store, container, target)
    t.deepEqual(await unmountImage(target, {remove: true}), {container, removed: true})
    await t.throwsAsync(mountImage(store, container, target), {code: 'IMAGE_NOT_FOUND'})
    await requireSound(t, store)
  })

  interopTest(`what an image and a container of ${driver} are both called is not mounted`, async (t) => {
    const {store, target} = await newStore(driver)
    const {container} = await mountContainer(store, image, target)
    await unmountImage(target)
    write(join(store, `containers/${container}/config.v2.json`), JSON.stringify({Name: '/shop/web'}))
    const error = await t.throwsAsync(mountImage(store, 'shop/web', target), {code: 'IMAGE_AMBIGUOUS'})
    const hint = `Give shop/web:latest for the image, ${container.slice(0, 12)} for the container`
    t.is((error as ImgtoolError).details.hint, hint)
    t.is((await mountImage(store, 'shop/web:latest', target)).container, undefined)
    await unmountImage(target)
    t.is((await mountImage(store, container.slice(0, 12), target)).container, container)
    await unmountImage(target)
  })

  interopTest(`a mount that fails leaves nothing in ${driver}`, async (t) => {
    const {store, target, folder} = await newStore(driver)
    writeFileSync(join(target, 'there'), '')
    const before = readdirSync(store, {recursive: true}).toSorted()
    await t.throwsAsync(mountContainer(store, image, target), {code: 'TARGET_EXISTS'})
    await t.throwsAsync(mountImage(store, image, target), {code: 'TARGET_EXISTS'})
    await t.throwsAsync(mountContainer(store, image, join(folder, 'nothing')), {code: 'TARGET_INVALID'})
    await t.throwsAsync(mountImage(store, 'nothing', target), {code: 'IMAGE_NOT_FOUND'})
    await t.throwsAsync(unmountImage(target), {code: 'TARGET_INVALID'})
    await t.throwsAsync(unmountImage(disk!.path), {code: 'TARGET_INVALID', message: /no image/})
    t.deepEqual(readdirSync(store, {recursive: true}).toSorted(), before)
  })
}

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`an image of ${driver} that is mounted stays`, async (t) => {
    const {store, target} = await newStore(driver, 'store')
    await mountImage(store, image, target)
    await removeStoredImage(store, 'shop/web:latest')
    await t.throwsAsync(removeStoredImage(store, image), {code: 'IMAGE_USED', message: /it is mounted on .*target"/})
    await unmountImage(target)
    t.is((await removeStoredImage(store, image)).images.length, 1)
  })
}

interopTest(
  'in the directories of aufs, layers are found by a path, and what was deleted is back without its deletion',
  async (t) => {
    const {store, target} = await newStore('aufs', 'store', 'docker-20.10-shell.tar.xz')
    const find = async (name: string) =>
      (await run('sh', ['-c', `ls -d "$0"/aufs/diff/*/${name}`, store])).trim().split('\n')
    const mountShell = () => mountImage(store, 'shop/shell:1', target)
    const directory = await find('opt/old')
    const deletion = await find('opt/.wh.old')
    t.deepEqual([directory.length, deletion.length], [1, 1])
    await mountShell()
    t.false(existsSync(join(target, 'opt/old')))
    await unmountImage(target)
    rmSync(deletion[0]!)
    await mountShell()
    t.deepEqual(readdirSync(join(target, 'opt/old')), readdirSync(directory[0]!))
    await unmountImage(target)
  },
)

interopTest(
  'a user namespace of root cannot have layers of overlay2, because nobody could tell whose deletions they have',
  async (t) => {
    const {folder} = await newStore('vfs')
    const store = join(folder, 'other')
    const unpack = [process.execPath, bin, 'unpack', '--driver', 'overlay', fixture(archive), store]
    const error = await t.throwsAsync(run('unshare', ['--user', '--map-root-user', ...unpack]))
    t.regex(String((error as {stderr?: unknown}).stderr), /Cannot use overlay2 in a user namespace of root's/)
    t.false(existsSync(store))
  },
)

interopTest('what is still mounted of a run that was killed goes with the next one', async (t) => {
  const {store, target} = await newStore('overlay2')
  await mountContainer(store, image, target)
  unmount(target)
  rmSync(join(store, 'image/overlay2/layerdb/mounts'), {recursive: true})
  t.is(listMounts(store).length, 1)
  const {repairs} = await checkStore(store, {repair: true})
  t.is(repairs.length, 2)
  t.deepEqual(listMounts(store), [])
  await requireSound(t, store)
})

for (const driver of driverNames) {
  interopTest(`an image of ${driver} is mounted where a symlink leads, and unmounted there`, async (t) => {
    const {store, target, folder} = await newStore(driver)
    const link = join(folder, 'link')
    symlinkSync('target', link)
    await mountImage(store, image, link)
    t.true(isMounted(target))
    t.deepEqual(await unmountImage(link), {removed: false})
    t.false(isMounted(target))
    const {container} = await mountContainer(store, image, link)
    writeFileSync(join(target, 'new'), 'written')
    t.deepEqual(await unmountImage(link, {remove: true}), {container, removed: true})
    t.false(isMounted(target))
    await requireSound(t, store)
  })

  interopTest(
    `while a daemon runs, an image of ${driver} is mounted for reading, with a warning, and not to write to`,
    async (t) => {
      const {store, target} = await newStore(driver)
      const locked = join(store, 'volumes/metadata.db')
      write(locked, '')
      const daemon = os.check(os.openAt(os.AT_FDCWD, fromText(locked), os.O_RDONLY), 'open', 'it')
      t.is(os.lock(daemon), 0)
      await t.throwsAsync(mountContainer(store, image, target), {code: 'STORE_IN_USE'})
      const warnings: string[] = []
      await mountImage(store, image, target, {onWarning: ({code}) => warnings.push(code)})
      t.deepEqual(warnings, ['DAEMON_RUNS'])
      t.true(readdirSync(target).length > 0)
      t.deepEqual(await unmountImage(target), {removed: false})
      os.close(daemon)
      await mountImage(store, image, target, {onWarning: ({code}) => warnings.push(code)})
      t.is(warnings.length, 1)
      await unmountImage(target)
    },
  )
}

for (const driver of ['overlay2', 'aufs'] as const) {
  interopTest(
    `a container of ${driver} whose mount point was unmounted otherwise is unmounted by its place`,
    async (t) => {
      const {store, target} = await newStore(driver)
      const {container} = await mountContainer(store, image, target)
      const {point} = listMounts(store)[0]!
      const hint = `'${point}'`
      await t.throwsAsync(unmountImage(point), {code: 'TARGET_INVALID', message: /it is shown on .*target"/})
      t.deepEqual((await checkStore(store)).findings, [])
      unmount(target)
      const refusals = [
        [await t.throwsAsync(mountContainer(store, container, target)), `Run: imgtool umount ${hint}`],
        [await t.throwsAsync(removeStoredImage(store, container)), `Run: imgtool umount --remove ${hint}`],
      ] as const
      for (const [error, expected] of refusals) {
        t.like(error, {code: 'IMAGE_USED', details: {hint: expected}})
        t.true(error!.message.includes(point))
      }
      const {findings} = await checkStore(store)
      t.like(findings, [{severity: 'note', code: 'MOUNT_FORGOTTEN', subject: container}])
      t.true(findings[0]!.message.includes(point))
      t.deepEqual(await unmountImage(point), {container, removed: false})
      t.deepEqual(listMounts(store), [])
      await mountContainer(store, container, target)
      unmount(target)
      t.deepEqual((await checkStore(store, {repair: true})).repairs, [`Unmounted the container ${container}`])
      t.deepEqual(listMounts(store), [])
      await mountContainer(store, container, target)
      unmount(target)
      t.deepEqual(await unmountImage(point, {remove: true}), {container, removed: true})
      await requireSound(t, store)
    },
  )
}

interopTest(
  'what is mounted over the directories of a driver is said, because it hides what is to be unmounted',
  async (t) => {
    const {store, target} = await newStore('overlay2')
    const {container} = await mountContainer(store, image, target)
    const places = join(store, 'overlay2')
    await run('mount', ['--bind', places, places])
    for (const remove of [false, true]) {
      const error = await t.throwsAsync(unmountImage(target, {remove}), {
        code: 'TARGET_INVALID',
        message: /is hidden by/,
      })
      t.like(error, {details: {hint: `Run: umount '${places}'`}})
    }
    unmount(places)
    t.deepEqual(await unmountImage(target, {remove: true}), {container, removed: true})
    t.deepEqual(listMounts(store), [])
  },
)

interopTest('what docker puts into a container follows no symlink of the image', async (t) => {
  const {folder} = await newStore('vfs')
  const [root, outside] = [join(folder, 'root'), join(folder, 'outside')]
  for (const path of [root, outside, join(root, 'dev'), join(root, 'etc'), join(root, 'etc/hosts')]) mkdirSync(path)
  symlinkSync(outside, join(root, 'proc'))
  symlinkSync(outside, join(root, 'dev/shm'))
  symlinkSync(join(outside, 'written'), join(root, 'etc/hostname'))
  writeFileSync(join(root, 'sys'), '')
  writeInitLayer(root)
  t.deepEqual(readdirSync(outside), [])
  t.true(['proc', 'sys', 'dev/shm', 'dev/pts', 'etc/hosts'].every((name) => statSync(join(root, name)).isDirectory()))
  t.deepEqual(readdirSync(join(root, 'etc')), ['hostname', 'hosts', 'mtab', 'resolv.conf'])
})

interopTest('mount prints the id of the container, and umount what became of it', async (t) => {
  const {store, target} = await newStore('overlay2')
  const mounted = await spawnImgtool(['mount', image, target, '--store', store, '--read-write'])
  t.is(mounted.status, 0, mounted.stderr)
  const id = mounted.stdout.toString().trim()
  t.regex(id, /^[0-9a-f]{64}$/)
  const {stdout} = await spawnImgtool(['umount', target, '--remove', '--json'])
  t.deepEqual(JSON.parse(stdout.toString()), {mountpoint: target, container: id, removed: true, warnings: []})
})
