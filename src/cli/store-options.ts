/** Arguments and flags of the commands that look after docker's data-root. */
import {Args, Flags} from '@oclif/core'
import type {DriverName} from '../driver/driver.ts'
import {parseDirectory} from './directory.ts'

export const storeArgument = Args.string({
  description: "docker's data-root, such as /var/lib/docker",
  ignoreStdin: true,
  parse: parseDirectory,
  required: true,
})

const drivers: Record<string, DriverName> = {overlay: 'overlay2', overlay2: 'overlay2', vfs: 'vfs', aufs: 'aufs'}

export const storeDriverFlag = Flags.custom<DriverName>({
  char: 'd',
  description: 'which of its drivers, where it has several',
  options: Object.keys(drivers),
  parse: async (name) => drivers[name]!,
})()
