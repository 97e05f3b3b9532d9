/** Arguments and flags that more than one command has. */
import {Args, Flags} from '@oclif/core'

// Left to itself oclif takes a missing argument from standard input, which here is an archive.
const ignoreStdin = true

export const imageArgument = Args.string({
  description:
    'image: PATH[:NAME|:@INDEX], with a transport in front or not; - is standard input, docker-root:DIR a data-root of docker',
  ignoreStdin,
  required: true,
})

export const archivesArgument = Args.string({
  description:
    'archive or directory, or one image of it: PATH[:NAME|:@INDEX]; - is standard input, docker-root:DIR a data-root of docker',
  ignoreStdin,
  multiple: true,
  required: true,
})

/** Of commands that choose images; `platform` of the command is what was given. */
export const platformFlag = Flags.string({
  description: 'only the image for this platform',
  env: 'IMGTOOL_PLATFORM',
  helpGroup: 'GLOBAL',
  helpValue: 'OS/ARCH[/VARIANT]',
})

export const fullFlag = Flags.boolean({
  description: 'print whole ids and whole steps',
  env: 'IMGTOOL_NO_TRUNC',
})

export const exactSizesFlag = Flags.boolean({
  description: 'read as much of the layers as exact sizes take',
  env: 'IMGTOOL_EXACT_SIZES',
})

export const idsOnlyFlag = Flags.boolean({
  char: 'q',
  description: 'print ids only, and no warnings',
  env: 'IMGTOOL_QUIET',
})

export const imageIDsFlag = Flags.boolean({
  description: 'compute the image IDs that docker gives images saved before 1.10; reads their layers',
  env: 'IMGTOOL_IMAGE_IDS',
})

export const progressFlag = Flags.boolean({
  allowNo: true,
  default: true,
  description: 'show progress on a terminal',
  env: 'IMGTOOL_PROGRESS',
})

export const forceFlag = Flags.boolean({char: 'f', description: 'replace a file that exists'})

export const syncFlag = Flags.boolean({description: 'wait for the disk before anything appears', env: 'IMGTOOL_SYNC'})

export const tagFlag = Flags.string({
  char: 't',
  description: 'name of the image instead of those it has; repeatable',
  helpValue: 'NAME',
  multiple: true,
  multipleNonGreedy: true,
})

export const threadsFlag = Flags.integer({
  description: 'threads to use, which the result does not depend on  [default: as many as are faster]',
  env: 'IMGTOOL_THREADS',
  helpValue: 'N',
  min: 1,
})
