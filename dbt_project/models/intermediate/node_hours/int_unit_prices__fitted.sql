with

-- Whole-core sizes on shared hardware: no medium, no metal.
types as (

    select
        instance_type,
        vcpu,
        memory_gib,
        on_demand_usd_per_hour
    from {{ ref('ec2_instance_types') }}
    where
        accelerators = 0
        and on_demand_usd_per_hour > 0
        and {{ regexp_like('instance_type', '^[cmr](5|6i|6a|7i|7a)[.][0-9]*x?large$') }}

),

-- Relative error is linear in the unit prices: 1 - a * (vcpu / price) - b * (gib / price).
regressors as (

    select
        instance_type,
        vcpu::double / on_demand_usd_per_hour::double as vcpu_per_usd,
        memory_gib::double / on_demand_usd_per_hour::double as gib_per_usd
    from types

),

-- Decimals add up to the same whatever their order; doubles would not.
moments as (

    select
        sum(vcpu_per_usd::decimal(38, 20))::double as s_v,
        sum(gib_per_usd::decimal(38, 20))::double as s_g,
        sum((vcpu_per_usd * vcpu_per_usd)::decimal(38, 20))::double as s_vv,
        sum((gib_per_usd * gib_per_usd)::decimal(38, 20))::double as s_gg,
        sum((vcpu_per_usd * gib_per_usd)::decimal(38, 20))::double as s_vg,
        count(*) as type_count
    from regressors

),

final as (

    select
        type_count,
        ((s_v * s_gg - s_g * s_vg) / (s_vv * s_gg - s_vg * s_vg))::decimal(18, 14)
            as usd_per_vcpu_hour,
        ((s_g * s_vv - s_v * s_vg) / (s_vv * s_gg - s_vg * s_vg))::decimal(18, 14)
            as usd_per_gib_hour
    from moments

)

select * from final
