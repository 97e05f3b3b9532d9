/** Stores that imgtool filled, for tests that damage them. */
import {readdirSync, readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {ExecutionContext} from 'ava'
import type {DriverName} from '../../src/driver/driver.ts'
import {openSource} from '../../src/open.ts'
import {layerFile, layersName, metadataRoot} from '../../src/store/layout.ts'
import {unpackIntoStore} from '../../src/unpack-store.ts'
import {fixture} from './fixtures.ts'
import {scratch} from './image.ts'

export const driverNames: readonly DriverName[] = ['overlay2', 'vfs', 'aufs']

/** Makes a store of the images of a fixture. */
export async function fillStore(t: ExecutionContext, driver: DriverName, archive: string): Promise<string> {
  const store = scratch(t)
  await addToStore(store, driver, archive)
  return store
}

export async function addToStore(store: string, driver: DriverName, archive: string): Promise<void> {
  await using source = await openSource(fixture(archive))
  await unpackIntoStore({source, images: source.set.images}, store, driver)
}

/** A layer of a store: the path of what docker knows of it, and what some of its files say. */
export function storedLayers(store: string, driver: DriverName) {
  const directory = join(store, metadataRoot(driver), layersName)
  return readdirSync(directory).map((hex) => {
    const path = join(directory, hex)
    const line = (name: keyof typeof layerFile) => {
      try {
        return readFileSync(join(path, layerFile[name]), 'latin1')
      } catch {
        return undefined
      }
    }
    return {chainID: `sha256:${hex}`, path, cacheID: line('cacheID')!, parent: line('parent')}
  })
}

/** The directory of a place. */
export function placePath(store: string, driver: DriverName, id: string): string {
  const directories = {overlay2: 'overlay2', vfs: 'vfs/dir', aufs: 'aufs/diff'}
  return join(store, directories[driver], id)
}
