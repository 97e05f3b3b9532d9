/** The storage drivers of docker. */
import type {Driver, DriverName} from './driver/driver.ts'

/** Loads one driver: each needs things of its own. */
export async function openDriver(name: DriverName, store: string): Promise<Driver> {
  switch (name) {
    case 'overlay2': {
      const {Overlay2Driver} = await import('./driver/overlay2.ts')
      return new Overlay2Driver(store)
    }
    case 'aufs': {
      const {AufsDriver} = await import('./driver/aufs.ts')
      return new AufsDriver(store)
    }
    case 'vfs': {
      const {VfsDriver} = await import('./driver/vfs.ts')
      return new VfsDriver(store)
    }
  }
}
