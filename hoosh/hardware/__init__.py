"""What can this machine carry?"""
