/* The driver through which HDF5 writes an mm_disk_draft. */
#ifndef MM_SHARD_DISK_DRIVER_H
#define MM_SHARD_DISK_DRIVER_H

#include <hdf5.h>

typedef struct mm_disk {
    int fd;       /* read and written */
    int failed;   /* errno of the first write, read or cut that failed, or 0 */
    haddr_t end;  /* of what HDF5 has allocated */
    haddr_t size; /* of what it has written */
    haddr_t head; /* set by mm_disk_draft_end_head */
} mm_disk;

/* Register the driver, whose identifier the caller gives back with H5FDunregister; < 0 if HDF5 refuses. */
hid_t mm_disk_driver(void);
/* Let files of this access list be written to `disk`, which stays the caller's. */
herr_t mm_disk_use(hid_t access, hid_t driver, mm_disk *disk);

#endif
