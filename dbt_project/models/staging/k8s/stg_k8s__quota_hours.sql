with

source as (

    select * from {{ source('raw', 'quota_hours') }}

),

renamed as (

    select
        billing_month,
        cluster_name,
        usage_hour,
        namespace,
        vcpu_hard,
        memory_hard_gib,
        accelerators_hard,
        devices_hard
    from source

)

select * from renamed
