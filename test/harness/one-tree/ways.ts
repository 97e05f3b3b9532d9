/** Every way that an image comes to a tree: unpacked, mounted where the way mounts, read, and taken away again. */
import {mkdirSync, mkdtempSync} from 'node:fs'
import {basename, join} from 'node:path'
import type {DriverName} from '../../../src/driver/driver.ts'
import {isMounted, unmount} from '../../../src/driver/mounts.ts'
import {removeTree} from '../../../src/driver/remove.ts'
import {ImgtoolError} from '../../../src/errors.ts'
import type {Image} from '../../../src/image/model.ts'
import {mountImage, unmountImage} from '../../../src/mount-image.ts'
import type {Source} from '../../../src/open.ts'
import * as os from '../../../src/os/libc.ts'
import {fromText} from '../../../src/text.ts'
import {unpackImage} from '../../../src/unpack.ts'
import {unpackIntoStore} from '../../../src/unpack-store.ts'
import {scanTree, type Tree} from '../../helpers/scan-tree.ts'

export interface Chosen {
  readonly source: Source
  readonly image: Image
}

/** What became of an image: a tree, or a refusal. */
export type Outcome = {readonly tree: Tree} | {readonly refusal: ImgtoolError}

type Way = (chosen: Chosen, folder: string) => Promise<Tree>

export const ways = {directory, vfs: stored('vfs'), overlay: stored('overlay2'), aufs: stored('aufs')}

export type WayName = keyof typeof ways

/**
 * Goes a way; nothing is left of it.
 *
 * @param base folder on a file system that has every kind of attribute
 * @throws whatever is no refusal, and so a bug; also where something stays mounted
 */
export async function follow(name: WayName, chosen: Chosen, base: string): Promise<Outcome> {
  const folder = mkdtempSync(join(base, `${name}-`))
  try {
    return {tree: await ways[name](chosen, folder)}
  } catch (error) {
    if (error instanceof ImgtoolError) return {refusal: error}
    throw error
  } finally {
    remove(base, folder)
  }
}

async function directory({image}: Chosen, folder: string): Promise<Tree> {
  const target = join(folder, 'rootfs')
  await unpackImage(image, target)
  return scanTree(target)
}

function stored(driver: DriverName): Way {
  return async ({source, image}, folder) => {
    const [store, mountPoint] = [join(folder, 'store'), join(folder, 'mounted')]
    for (const path of [store, mountPoint]) mkdirSync(path)
    const {images} = await unpackIntoStore({source, images: [image]}, store, driver)
    await mountImage(store, images[0]!.imageID, mountPoint)
    try {
      const tree = scanTree(mountPoint)
      await unmountImage(mountPoint)
      return tree
    } finally {
      if (isMounted(mountPoint)) unmount(mountPoint)
    }
  }
}

/** Paths may be longer than the system takes them. Fails where something is still mounted. */
function remove(base: string, folder: string): void {
  const descriptor = os.check(os.openAt(os.AT_FDCWD, fromText(base), os.O_PLACE), 'open', fromText(base))
  try {
    removeTree(descriptor, fromText(basename(folder)))
  } finally {
    os.close(descriptor)
  }
}
