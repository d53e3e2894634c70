#include "lossy_vfs.h"
int x_lossy;
