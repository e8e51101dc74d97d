// planted: belongs to no room
