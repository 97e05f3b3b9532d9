/** Opens a data-root for looking after it: with the driver whose images are meant, damaged or not. */
import type {DriverName} from '../driver/driver.ts'
import {ImgtoolError} from '../errors.ts'
import {printableText} from '../text.ts'
import {metadataRoot} from './layout.ts'
import {StoreFiles} from './store-files.ts'

/** Drivers of which every place can be told apart, made and removed. */
const keptDrivers: readonly DriverName[] = ['overlay2', 'vfs', 'aufs']

export interface OpenFiles extends Disposable {
  readonly files: StoreFiles
  readonly driver: DriverName
}

/**
 * Opens a data-root.
 *
 * @param wanted the driver; by default the only one of which docker keeps something there
 * @throws {ImgtoolError} SOURCE_NOT_FOUND, PERMISSION_DENIED, FORMAT_UNKNOWN for what is no data-root or has not that driver,
 *   IMAGE_AMBIGUOUS where there are several
 */
export function openStoreFiles(path: string, wanted: DriverName | undefined): OpenFiles {
  const files = new StoreFiles(path)
  try {
    return {files, driver: chooseDriver(files, path, wanted), [Symbol.dispose]: () => files.close()}
  } catch (error) {
    files.close()
    throw error
  }
}

function chooseDriver(files: StoreFiles, path: string, wanted: DriverName | undefined): DriverName {
  const found = keptDrivers.filter((name) => files.isDirectory(metadataRoot(name)))
  if (wanted !== undefined && found.includes(wanted)) return wanted
  const [only, ...more] = found
  const shown = printableText(path)
  if (only === undefined || wanted !== undefined) {
    const what = wanted ?? 'overlay2, vfs or aufs'
    const hint =
      found.length > 0 ? `It has ${found.join(', ')}` : 'Give the directory that is /var/lib/docker on a running host'
    throw new ImgtoolError('FORMAT_UNKNOWN', `Cannot find a data-root of docker with ${what} at "${shown}"`, {hint})
  }
  if (more.length === 0) return only
  throw new ImgtoolError('IMAGE_AMBIGUOUS', `Cannot choose among the drivers of "${shown}"`, {
    hint: `Name one: ${found.map((name) => `--driver ${name}`).join(', ')}`,
  })
}
