/** What an image has that not every way can show, read from its tars with no driver at work. */
import {readPrivileges} from '../../../src/driver/privileges.ts'
import {ImgtoolError} from '../../../src/errors.ts'
import type {Image} from '../../../src/image/model.ts'
import {splitPath} from '../../../src/layer/path.ts'
import {readLayer, startBudget} from '../../../src/layer/read.ts'
import type {Entry} from '../../../src/layer/tar/entry.ts'
import {defaultLimits} from '../../../src/limits.ts'

export interface Facts {
  readonly layers: number
  /** Whether a layer has one name twice. */
  readonly hasTwins: boolean
  /** Whether a layer has a device with the number 0:0. */
  readonly hasZeroDevice: boolean
  /** Whether a hard link leads to a device, of whatever layer, where none can be made. */
  readonly hasLostLinks: boolean
  /** Bytes of the longest name of a whiteout. */
  readonly longestWhiteout: number
}

/** Reads every layer; of one that cannot be read, as far as that goes. */
export async function readFacts({layers}: Image): Promise<Facts> {
  const budget = startBudget(defaultLimits)
  const {canMakeDevices} = readPrivileges()
  const devices = new Set<string>()
  let [hasTwins, hasZeroDevice, hasLostLinks, longestWhiteout] = [false, false, false, 0]
  for (const layer of layers) {
    const names = new Set<string>()
    const entry = ({path, kind, link, deviceMajor, deviceMinor}: Entry) => {
      const {name} = splitPath(path)
      if (names.has(path)) hasTwins = true
      names.add(path)
      if (kind === 'character' || kind === 'block') devices.add(path)
      if (kind === 'hardlink' && devices.has(link)) hasLostLinks = !canMakeDevices
      if (kind === 'character' && deviceMajor === 0 && deviceMinor === 0) hasZeroDevice = true
      if (name.startsWith('.wh.')) longestWhiteout = Math.max(longestWhiteout, name.length)
    }
    try {
      await readLayer(layer, {entry, data: () => {}, end: () => {}}, budget)
    } catch (error) {
      if (!(error instanceof ImgtoolError)) throw error
    }
  }
  return {layers: layers.length, hasTwins, hasZeroDevice, hasLostLinks, longestWhiteout}
}
