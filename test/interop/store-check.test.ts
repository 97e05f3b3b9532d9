/** Stores of a dockerd that is stopped are checked, mended and made smaller, and the daemon goes on with the rest. */
import {mkdirSync, rmSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import test from 'ava'
import {checkStore} from '../../src/check-store.ts'
import {mountContainer, unmountImage} from '../../src/mount-image.ts'
import {removeStoredImage} from '../../src/remove-stored.ts'
import {listStore, storeStatus} from '../../src/store-status.ts'
import {startDockerd} from '../helpers/dockerd.ts'
import {fixture} from '../helpers/fixtures.ts'
import {interopTest, makeScratch, removeScratch} from '../helpers/interop.ts'
import {placePath, storedLayers} from '../helpers/store.ts'

const scratch = makeScratch()

test.after.always('clean up', () => removeScratch(scratch))

for (const driver of ['overlay2', 'vfs'] as const) {
  interopTest(`a dockerd on ${driver} goes on with what imgtool left`, async (t) => {
    const directory = join(scratch, driver)
    const dockerd = await startDockerd(directory, driver)
    const store = dockerd.dataRoot
    for (const name of ['docker-20.10-several.tar', 'docker-20.10-shell.tar.xz'])
      await dockerd.docker('load', '-i', fixture(name))
    const images = await dockerd.docker(
      'images',
      '--no-trunc',
      '--format',
      '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}}',
    )
    const container = (await dockerd.docker('create', 'shop/db:1', '/nothing')).trim()
    const info = await dockerd.docker('info', '--format', '{{.Driver}} {{.Images}} {{.Containers}}')
    await dockerd.stop()

    t.deepEqual((await checkStore(store, {layers: true})).findings, [])
    const status = await storeStatus(store)
    t.is(`${status.driver} ${status.images} ${status.containers}`, info.trim())
    for (const {names, imageID} of await listStore(store))
      for (const name of names) t.true(images.includes(`${name} ${imageID}`), name)

    await t.throwsAsync(removeStoredImage(store, 'shop/db:1'), {code: 'IMAGE_USED'})
    await t.throwsAsync(removeStoredImage(store, container), {code: 'IMAGE_USED', message: /one of docker/})
    await removeStoredImage(store, 'shop/web:1.0')
    t.true((await removeStoredImage(store, 'shop/web:latest')).layers.length > 0)
    const target = join(directory, 'target')
    mkdirSync(target)
    const {container: own} = await mountContainer(store, 'shop/db:2', target)
    writeFileSync(join(target, 'new'), 'written')
    await unmountImage(target)
    t.deepEqual((await checkStore(store, {repair: true, layers: true})).repairs, [])

    const again = await startDockerd(directory, driver)
    const left = await again.docker('images', '--format', '{{.Repository}}:{{.Tag}}')
    t.deepEqual(left.includes('shop/web'), false)
    t.true(
      ['shop/db:1', 'shop/db:2', 'shop/base:2013'].every((name) => left.includes(name)),
      left,
    )
    t.is((await again.docker('ps', '-aq', '--no-trunc')).trim(), container)
    await again.docker('rm', container)
    await again.docker('save', '-o', join(directory, 'saved.tar'), 'shop/db:2')
    await again.docker('load', '-i', fixture('docker-20.10-several.tar'))
    await again.stop()

    const layers = storedLayers(store, driver)
    const depth = (id: string | undefined): number => {
      const layer = layers.find(({chainID}) => chainID === id)
      return layer === undefined ? 0 : depth(layer.parent) + 1
    }
    const top = layers.toSorted((one, other) => depth(other.chainID) - depth(one.chainID))[0]!
    rmSync(placePath(store, driver, top.cacheID), {recursive: true})
    writeFileSync(join(store, 'image', driver, '.tmp-repositories.json123'), '')
    t.true((await checkStore(store)).findings.length > 0)
    const damaged = (await checkStore(store, {repair: true})).findings.filter(({code}) => code === 'IMAGE_DAMAGED')
    t.true(damaged.length > 0)
    for (const {subject} of damaged) await removeStoredImage(store, subject)
    t.deepEqual((await checkStore(store, {repair: true, layers: true})).findings, [])
    const third = await startDockerd(directory, driver)
    const kept = await third.docker('images', '-q', '--no-trunc')
    t.deepEqual(
      [...new Set(kept.trim().split('\n'))].toSorted(),
      (await listStore(store))
        .filter(({names}) => names.length > 0)
        .map(({imageID}) => String(imageID))
        .toSorted(),
    )
    await third.stop()
    t.deepEqual((await removeStoredImage(store, own)).containers, [own])
    t.deepEqual((await checkStore(store, {layers: true})).findings, [])
  })
}
