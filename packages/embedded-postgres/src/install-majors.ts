import { installMajor } from './install-major.ts'
import { MAJORS } from './majors.ts'

// A program: installs every major that the default install leaves out, once.
for (const major of MAJORS) installMajor(major)
