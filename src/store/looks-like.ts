/** Whether a directory is docker's data-root, or could become one: by the names in it. */
import {existsSync, readdirSync} from 'node:fs'
import {join} from 'node:path'
import {isID} from '../digest.ts'
import type {DriverName} from '../driver/driver.ts'
import {contentPath, metadataRoot, storeDrivers} from './layout.ts'

/**
 * What docker has in its data-root, from 1.0 to today, and a file system has at its top.
 *
 * @see moby daemon/daemon.go, NewDaemon; daemon/graphdriver/driver.go, priority
 */
const ownNames: ReadonlySet<string> = new Set([
  ...['aufs', 'btrfs', 'devicemapper', 'fuse-overlayfs', 'overlay', 'overlay2', 'vfs', 'zfs'],
  ...[
    'builder',
    'buildkit',
    'containerd',
    'containers',
    'discovery_certs',
    'engine-id',
    'execdriver',
    'graph',
    'image',
  ],
  ...['init', 'linkgraph.db', 'lost+found', 'network', 'nuke-graph-directory.sh', 'plugins', 'runtimes'],
  ...['secrets', 'swarm', 'tmp', 'tmp-old', 'trust', 'volumes', 'windowsfilter'],
])
const ownNamePattern = /^repositories-/

/** Of what docker knows of the images of a driver. */
const metadataNames = ['imagedb', 'layerdb', 'repositories.json'] as const

/** Whether docker keeps something there. What cannot be read is none. */
export function isDataRoot(path: string): boolean {
  return storeDrivers.some((driver) => hasMetadata(join(path, metadataRoot(driver)))) || hasLayers(path)
}

/** Whether a directory that is not empty has nothing that is not docker's. @param names all that are in it */
export function mayBeDataRoot(path: string, names: readonly string[]): boolean {
  if (isDataRoot(path)) return true
  // The directory `image` of a data-root has nothing but drivers in it.
  const isImages = names.some((name) => hasMetadata(join(path, name)))
  return !isImages && names.every((name) => ownNames.has(name) || ownNamePattern.test(name))
}

/** Drivers of which docker knows images, where it knows none of the given one. */
export function otherDrivers(path: string, driver: DriverName): string[] {
  const known = namesIn(join(path, 'image')).filter((name) => hasMetadata(join(path, metadataRoot(name))))
  return known.includes(driver) ? [] : known.toSorted()
}

function hasMetadata(path: string): boolean {
  return metadataNames.some((name) => existsSync(join(path, name)))
}

/** Whether there are layers of a driver, with or without what docker knew of them. */
function hasLayers(path: string): boolean {
  const homes = {overlay2: 'overlay2/l', vfs: 'vfs/dir', aufs: 'aufs/layers'}
  if (Object.values(homes).some((home) => existsSync(join(path, home)))) return true
  const isLayer = (id: string) => isID(id) && existsSync(join(path, contentPath('overlay', id)))
  return namesIn(join(path, 'overlay')).some(isLayer)
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
